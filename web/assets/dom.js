// h('button.primary', { onclick, text }, child, …) makes an element. Text is always text:
// nothing a server or a customer sent is ever read as markup.
export function h(name, props = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const e = document.createElement(tag || 'div');
  if (classes.length) e.className = classes.join(' ');
  for (const [k, v] of Object.entries(props)) {
    if (v === undefined || v === null || v === false) continue;
    if (k === 'text') e.textContent = v;
    else if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (k in e && typeof v !== 'string') e[k] = v;
    else e.setAttribute(k, v === true ? '' : v);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

// icon draws one of a few signs in the colour of the text.
const paths = {
  ok: 'M4 12.5l5.5 5.5L20 6.5', no: 'M6 6l12 12M18 6L6 18', wait: 'M12 6v6l4 2.5M21 12a9 9 0 11-18 0 9 9 0 0118 0z',
  warn: 'M12 8v5.5M12 17v.2M12 3L2.5 20.5h19z', scan: 'M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M4 12h16',
  qr: 'M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2v2h-2zM18 18h2v2h-2zM18 14h2M14 18v2',
  phone: 'M8 3h8a1 1 0 011 1v16a1 1 0 01-1 1H8a1 1 0 01-1-1V4a1 1 0 011-1zM11 18h2', back: 'M9 7l-5 5 5 5M4 12h16',
  print: 'M7 9V4h10v5M7 17H4v-8h16v8h-3M7 14h10v6H7z', bell: 'M6 16v-5a6 6 0 0112 0v5l2 2H4zM10 21h4',
  list: 'M8 6h12M8 12h12M8 18h12M4 6h.1M4 12h.1M4 18h.1', off: 'M3 9a14 14 0 0118 0M7 13a8 8 0 0110 0M12 18v.1M4 3l16 18',
};
export function icon(name) {
  const ns = 'http://www.w3.org/2000/svg', svg = document.createElementNS(ns, 'svg'), p = document.createElementNS(ns, 'path');
  for (const [k, v] of Object.entries({ viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', fill: 'none', stroke: 'currentColor' })) svg.setAttribute(k, v);
  for (const [k, v] of Object.entries({ d: paths[name], 'stroke-width': '2.2', 'stroke-linecap': 'round', 'stroke-linejoin': 'round' })) p.setAttribute(k, v);
  svg.append(p);
  return svg;
}

// fill puts children into an element in place of what was there.
export function fill(e, ...children) { e.replaceChildren(...children.filter(Boolean)); }
