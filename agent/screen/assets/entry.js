// Keys on the screen, for tills that have no keyboard: the amount, and the sign-in.
import { h, icon } from '/assets/dom.js';
import { call, Refusal, say, t, till, changed } from './till.js';

// keypad calls press with a digit, "00", ".", "back" or "clear".
export function keypad(press, decimals = true) {
  const keys = ['7', '8', '9', '4', '5', '6', '1', '2', '3', decimals ? '.' : 'clear', '0', decimals ? '00' : 'back'];
  const label = { back: t('key_back'), clear: t('key_clear'), '.': t('key_point') };
  const key = (k) => h('button.touch', {
    type: 'button', 'data-key': k, 'aria-label': label[k] ?? k, onclick: () => press(k),
    onmousedown: (e) => e.preventDefault(), // the field keeps the focus
  }, k === 'back' ? icon('back') : h('span', { text: k === 'clear' ? 'C' : k }));
  return h('div.keypad', { role: 'group', 'aria-label': t('keypad'), 'data-decimals': String(decimals) },
    ...keys.map(key), ...(decimals ? [key('back'), key('clear')] : []));
}

export function signIn() {
  const field = (id, key, type) => h('div.field', {}, h('label', { for: id, text: t(key) }),
    h('input.touch', { id, type, inputmode: 'none', autocomplete: 'off', maxlength: id === 'pin' ? '12' : '16', onfocus: (e) => { target = e.target; } }));
  const number = field('number', 'operator', 'text'), pin = field('pin', 'pin', 'password');
  let target = number.querySelector('input');
  const problem = h('div.problem', { role: 'alert', hidden: true });
  const go = h('button.touch.primary.big', { type: 'submit', id: 'sign-in' }, h('span', { text: t('sign_in') }));
  return [h('form.signin', { onsubmit: (e) => send(e, go, problem) },
    h('h2', { text: t('sign_in_title') }), number, pin, keypad((k) => {
      if (k === 'clear') target.value = '';
      else target.value = k === 'back' ? target.value.slice(0, -1) : target.value + k;
      target.focus();
    }, false), problem, go)];
}

async function send(e, go, problem) {
  e.preventDefault();
  const number = document.getElementById('number'), pin = document.getElementById('pin');
  const missing = [number, pin].find((f) => !f.value.trim());
  if (missing) { missing.focus(); return; }
  go.disabled = true;
  try {
    till.status.operator = await call('POST', '/v1/session', { number: number.value.trim(), pin: pin.value });
    changed();
  } catch (err) {
    if (!(err instanceof Refusal)) throw err;
    problem.hidden = false;
    problem.replaceChildren(h('b', { text: say(err.text) }), h('span', { text: say(err.hint) }));
    pin.value = '';
    pin.focus();
  } finally { go.disabled = false; }
}
