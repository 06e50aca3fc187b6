// What a form cannot do without a script: ask the phone where it is, and keep a second
// click from sending twice (the server would make one entry of it anyway).
const all = (selector, from = document) => [...from.querySelectorAll(selector)];

for (const form of all('form[data-single]')) {
  form.addEventListener('submit', (e) => {
    if (form.dataset.sent) { e.preventDefault(); return; }
    form.dataset.sent = '1';
    const b = form.querySelector('button:not([type=button])');
    if (b && b.dataset.busy) b.textContent = b.dataset.busy;
  });
}
addEventListener('pageshow', (e) => { if (e.persisted) for (const f of all('form[data-single]')) delete f.dataset.sent; });

for (const select of all('#document')) {
  const show = () => { for (const e of all('[data-passport]')) e.hidden = select.value !== 'passport'; };
  select.addEventListener('change', show);
  show();
}

// The web's positions are WGS-84 by its standard (W3C Geolocation); the server says so too.
for (const button of all('[data-locate]')) {
  const form = button.closest('form'), says = form.querySelector('[data-place-says]');
  const say = (text, tone) => { says.textContent = text; says.className = tone; };
  button.addEventListener('click', () => {
    if (!navigator.geolocation) { say(button.dataset.failed, 'unlocated'); return; }
    say(button.dataset.wait, 'muted');
    navigator.geolocation.getCurrentPosition((p) => {
      for (const [name, value] of [['datum', 'wgs84'], ['lat', p.coords.latitude], ['lon', p.coords.longitude], ['accuracy', p.coords.accuracy]]) {
        form.elements[name].value = value;
      }
      say(button.dataset.done.replace('#', Math.ceil(p.coords.accuracy)), 'located');
    }, (e) => say(e.code === 1 ? button.dataset.denied : button.dataset.failed, 'unlocated'),
    { enableHighAccuracy: true, timeout: 20000, maximumAge: 0 });
  });
}
