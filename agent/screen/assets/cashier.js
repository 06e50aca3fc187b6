// The cashier's page: wires the parts together.
import { begin, call, changed, config, connected, missed, put, Refusal, say, speak, speech, t, till, watch } from './till.js';
import { adopt, payment, sale, show, submit, waiting } from './sale.js';
import * as panel from './panel.js';
import * as banner from './banner.js';
import * as list from './list.js';
import { asking, confirm } from './dialog.js';
import { free, wedge } from './scan.js';

const $ = (id) => document.getElementById(id);

function frame() {
  const s = till.status, ok = till.reachable && connected();
  for (const e of document.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t);
  for (const e of document.querySelectorAll('[data-label]')) e.setAttribute('aria-label', t(e.dataset.label));
  $('find').placeholder = t('find');
  $('language').textContent = speech.lang === 'zh' ? 'EN' : '中文';
  $('language').lang = speech.lang === 'zh' ? 'en' : 'zh-CN';
  if (!s) return;
  document.title = `${t('cashier')} · ${say(s.store_name)}`;
  $('store').textContent = say(s.store_name) || s.store;
  $('terminal').textContent = s.terminal;
  $('dot').className = `dot ${ok ? 'ok' : 'bad'}`;
  $('link').textContent = t(!till.reachable ? 'link_none' : ok ? 'link_on' : 'link_off');
  $('who').hidden = !s.operator;
  if (s.operator) $('who-name').textContent = `${s.operator.name || s.operator.number}`;
}

let shown = '';
function draw() {
  if (shown !== sale.id) banner.hush(); // a new sale is not burdened with the old one's words
  shown = sale.id;
  frame();
  banner.draw();
  panel.draw();
  list.draw();
}

// scanned takes a code of a scanner that is a keyboard. Our own receipt finds its payment.
async function scanned(code) {
  await free(() => sale.busy);
  const p = payment();
  if (waiting(p) && p.mode !== 'c_scan_b') { submit(code); return; }
  try {
    const s = await call('POST', '/v1/scan', { code });
    found(s);
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    banner.tell(`${say(e.text)} · ${say(e.hint)}`, 'bad');
  }
}

// found shows what a scan was: a payment, or a sentence.
function found(s) {
  if (s.kind === 'payment_reference' && s.payment) { show(put(s.payment)); return; }
  if (missed(s)) banner.tell(say(s.text), 'bad');
}

function keys(e) {
  if (asking() || e.ctrlKey || e.altKey || e.metaKey || e.isComposing) return;
  const field = e.target.closest?.('input, textarea'), inAmount = e.target.id === 'amount';
  if (e.key === 'Escape') { e.preventDefault(); panel.escape(); return; }
  if (e.key === 'Enter') {
    if ((field && !inAmount && field.id !== 'order') || e.target.closest?.('button')) return;
    e.preventDefault();
    panel.enter();
    return;
  }
  if (field || !/^[0-9.]$/.test(e.key) || $('panel').dataset.view !== 'entry') return;
  e.preventDefault();
  panel.type(e.key);
  $('amount').focus();
}

async function signOut() {
  if (!await confirm({ title: 'sign_out_title', text: 'sign_out_text', yes: 'sign_out' })) return;
  try { await call('DELETE', '/v1/session'); till.status.operator = null; changed(); } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    banner.tell(`${say(e.text)} · ${say(e.hint)}`, 'bad');
  }
}

function wire() {
  $('language').onclick = () => speak(speech.lang === 'zh' ? 'en' : 'zh', true);
  $('sign-out').onclick = signOut;
  $('search').onsubmit = (e) => { e.preventDefault(); const v = $('find').value; $('find').value = ''; list.find(v); };
  $('all').onclick = () => list.find('');
  for (const b of document.querySelectorAll('button[data-tab]')) {
    b.onclick = () => {
      document.body.dataset.tab = b.dataset.tab;
      for (const o of document.querySelectorAll('button[data-tab]')) o.setAttribute('aria-pressed', String(o === b));
    };
  }
  document.addEventListener('keydown', keys);
}

// A handheld goes back to the amount when nobody has touched it for a while.
let touched = Date.now();
for (const name of ['pointerdown', 'keydown']) document.addEventListener(name, () => { touched = Date.now(); }, true);
function idle() {
  panel.tick();
  if (config.idle_s && Date.now() - touched > config.idle_s * 1000 && payment() && !waiting(payment())) panel.escape();
}

wedge(scanned);
wire();
watch(draw);
draw();
await begin({
  payment: (p) => { if (!sale.id && !sale.amount && p.caller !== 'screen') adopt(p); },
  scan: found,
});
adopt(till.status?.current);
setInterval(idle, 500);
