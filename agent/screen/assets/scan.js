// A scanner that is plugged in as a keyboard types faster than people do: a run of
// keys less than 40 ms apart that ends with Enter is a code, wherever the focus is.
// What it typed into a field is taken out again, and take(code) gets it; the code goes
// nowhere else.
export function wedge(take) {
  let run = '', last = 0, field = null, value = '';
  document.addEventListener('keydown', (e) => {
    const quick = e.timeStamp - last < 40;
    last = e.timeStamp;
    if (e.key === 'Enter') {
      const code = run;
      run = '';
      if (!quick || code.length < 8) return;
      e.preventDefault();
      e.stopImmediatePropagation();
      if (field) {
        field.value = value;
        field.dispatchEvent(new Event('input', { bubbles: true }));
      }
      take(code);
      return;
    }
    if (e.key.length !== 1 || e.ctrlKey || e.altKey || e.metaKey) return;
    if (!quick) {
      field = document.activeElement?.matches?.('input') ? document.activeElement : null;
      value = field?.value ?? '';
    }
    run = quick ? run + e.key : e.key;
  }, true);
}
