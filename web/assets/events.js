// listen(url, handlers) keeps a server-sent event stream open. The browser reconnects by
// itself with Last-Event-ID; what this adds is a word on whether the stream is alive, a
// fresh start when the server has closed it for good, and JSON. A server that sends
// "heartbeat" events is taken for gone when none came for 40 s; of one that has only
// comments the browser itself tells when the stream breaks.
export function listen(url, handlers, onLink) {
  let source, silent, again, beats = false, ended = false;
  const alive = () => {
    onLink?.(true);
    clearTimeout(silent);
    if (beats) silent = setTimeout(() => onLink?.(false), 40000);
  };
  const open = () => {
    source = new EventSource(url, { withCredentials: true });
    source.onopen = alive;
    source.onerror = () => {
      onLink?.(false);
      if (source.readyState === EventSource.CLOSED && !ended) again = setTimeout(open, 2000);
    };
    source.addEventListener('heartbeat', () => { beats = true; alive(); });
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (e) => { alive(); handle(JSON.parse(e.data)); });
    }
  };
  open();
  return () => { ended = true; clearTimeout(silent); clearTimeout(again); source.close(); };
}

// yuan writes fen as yuan with two decimals, by integers only.
export function yuan(fen) {
  const n = BigInt(fen), abs = n < 0n ? -n : n;
  return `${n < 0n ? '-' : ''}${abs / 100n}.${String(abs % 100n).padStart(2, '0')}`;
}

// fen reads what a person typed as yuan; null when it is not an amount.
export function fen(text) {
  const m = /^(\d{1,9})(?:\.(\d{1,2}))?$/.exec(text.trim());
  return m ? Number(m[1]) * 100 + Number((m[2] ?? '').padEnd(2, '0')) : null;
}
