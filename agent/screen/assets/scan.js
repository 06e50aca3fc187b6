// A scanner that is plugged in as a keyboard types faster than people do: a run of keys
// with small gaps that ends with Enter is a code. What it typed into a field is taken
// out again, and take(code) gets it; the code goes nowhere else. A field that is made
// for codes (data-code) keeps its own way.
//
// amount is the longest thing that a fast hand types before Enter; it is never a code.
const amount = /^\d{1,7}(\.\d{0,2})?$/;

export function wedge(take, gap = 90) {
  let run = '', last = -gap, field = null, value = '';
  document.addEventListener('pointerdown', () => { last = -gap; }, true); // what was typed before a touch is no part of a code
  document.addEventListener('keydown', (e) => {
    const quick = e.timeStamp - last < gap, code = run;
    last = e.timeStamp;
    if (e.key === 'Shift') return;
    if (e.key.length === 1 && !e.ctrlKey && !e.altKey && !e.metaKey) {
      if (!quick || !run) {
        field = document.activeElement?.matches?.('input') ? document.activeElement : null;
        value = field?.value ?? '';
        run = '';
      }
      run += e.key;
      return;
    }
    run = '';
    if (e.key !== 'Enter' || !quick || code.length < 8 || amount.test(code) || field?.dataset.code !== undefined) return;
    e.preventDefault();
    e.stopImmediatePropagation();
    if (field) {
      field.value = value;
      field.dispatchEvent(new Event('input', { bubbles: true }));
    }
    take(code);
  }, true);
}

// free waits until what is under way is done, for 5 s at most: a code is not read twice.
export async function free(busy) {
  for (let n = 0; busy() && n < 100; n++) await new Promise((r) => { setTimeout(r, 50); });
}
