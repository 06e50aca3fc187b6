// The page of the verifier: fetches the published files, does the draw again on this
// phone, and follows the entrant's own receipt through it.
import { verify, checkEntry, Fault } from './verify.js';
import { h, fill } from '/assets/dom.js';

const box = document.getElementById('check');
const t = (zh, en) => (box.dataset.lang === 'zh' ? zh : en);
const yuan = (fen) => '¥' + (fen / 100).toFixed(2);
const when = (s) => new Date(s * 1000).toLocaleString('sv-SE', { timeZone: 'Asia/Shanghai' });

async function fetchAll(bar) {
  const get = async (name) => {
    const r = await fetch(box.dataset.base + name, { cache: 'no-store' });
    if (!r.ok) throw new Fault(name, t('无法下载,请稍后重试', 'cannot be fetched; try again in a moment'));
    return new Uint8Array(await r.arrayBuffer());
  };
  const files = new Map([['manifest.json', await get('manifest.json')], ['manifest.txt', await get('manifest.txt')]]);
  const m = JSON.parse(new TextDecoder().decode(files.get('manifest.json')));
  const names = m.files.map((f) => f.name);
  for (const [i, name] of names.entries()) {
    files.set(name, await get(encodeURIComponent(name)));
    bar.value = 0.3 * (i + 1) / names.length;
  }
  return files;
}

async function ownEntry() {
  const f = document.getElementById('entry').files[0];
  if (!f) return null;
  if (f.size > 65536) throw new Fault(t('回执', 'receipt'), t('不是回执文件', 'not a receipt file'));
  try { return JSON.parse(await f.text()); } catch { throw new Fault(t('回执', 'receipt'), t('不是回执文件:请选择报名后保存的文件', 'not a receipt file: choose the one that you saved')); }
}

function own(e) {
  const list = [[e.unchecked ? 'skip' : 'ok', e.unchecked ? t('回执签名:此浏览器不支持 Ed25519,未核验', "receipt's signature: this browser lacks Ed25519, not checked") : t('回执由发布方签名,抽签号确由您的信息生成', 'the publisher signed the receipt, and the ticket is made of what is yours')]];
  if (e.outcome === 'absent') return [...list, ['skip', t('位置未确认,回执未承诺列入名单', 'the place never became clear: the receipt promised no list')]];
  list.push(['ok', t(`您在名单第 ${e.index + 1} 行,经 ${e.path} 个哈希归入名单根`, `line ${e.index + 1} of the list, under its root by ${e.path} hashes`)]);
  list.push(['ok', t(`全体排序第 ${e.position} 位`, `${e.position} in the order of all`)]);
  list.push(['ok', e.outcome === 'won' ? t(`中签:名次 ${e.rank},红包 ${yuan(e.face_fen)}`, `won: rank ${e.rank}, envelope of ${yuan(e.face_fen)}`)
    : e.outcome === 'waiting' ? t(`候补第 ${e.place} 位`, `place ${e.place} on the waiting list`) : t('未中签', 'not drawn')]);
  if (e.moved_up) list.push(['ok', t('有人未领取,您已递补,见公开日志', 'somebody did not claim and you moved up: the public log says so')]);
  if (e.passed_on) list.push(['ok', t('红包未按时领取,已由候补者递补,见公开日志', 'the envelope was not claimed in time and passed to who waited: the public log says so')]);
  return list;
}

function all(v) {
  return [
    ['ok', t(`全部文件与清单一致`, 'every file is the one of the manifest')],
    ['ok', t(`规则第 ${v.version} 版生效,于 ${when(v.terms_seen)} 见证,早于报名开始`, `version ${v.version} of the terms was in force, witnessed ${when(v.terms_seen)}, before registration opened`)],
    ['ok', t(`名单 ${v.entries} 人于 ${when(v.list_seen)} 见证,早于随机数 ${when(v.round_time)}`, `list of ${v.entries} witnessed ${when(v.list_seen)}, before the randomness of ${when(v.round_time)}`)],
    ['ok', t(`重新抽签:中签 ${v.winners},候补 ${v.waiting},与公布逐字节一致`, `drawn again: ${v.winners} winners, ${v.waiting} waiting, byte for byte as published`)],
    v.unchecked.includes('signatures') ? ['skip', t('签名:此浏览器不支持 Ed25519,未核验', 'signatures: this browser lacks Ed25519, not checked')] : ['ok', t(`发布方 ${v.publisher} 与见证方 ${v.witness} 的签名有效`, `signatures of publisher ${v.publisher} and witness ${v.witness} fit`)],
    ['skip', t('随机信标自身的签名(BLS):浏览器不支持,请用 posctl draw verify 核验', "the beacon's own signature (BLS): no browser has it; posctl draw verify checks it")],
  ];
}

const lines = (list) => h('ul.checks', {}, ...list.map(([tone, text]) => h('li.' + tone, {}, h('span', { text }))));

async function run(button) {
  const bar = document.getElementById('progress'), out = document.getElementById('verdict');
  button.disabled = true;
  bar.hidden = false;
  bar.value = 0;
  fill(out);
  try {
    const entry = await ownEntry(), files = await fetchAll(bar);
    const v = await verify(files, { progress: (x) => { bar.value = 0.3 + 0.7 * x; } });
    const mine = entry && await checkEntry(v, entry);
    fill(out, h('p.banner.ok', {}, h('b', { text: t('核验一致', 'It fits') }), v.practice ? h('span', { text: t('练习,不作数', 'PRACTICE: it counts for nothing') }) : null),
      mine && h('h2', { text: t('您的报名', 'Your entry') }), mine && lines(own(mine)), h('h2', { text: t('整个抽签', 'The whole draw') }), lines(all(v)));
    out.dataset.done = 'ok';
  } catch (e) {
    fill(out, h('p.banner.bad', { role: 'alert' }, h('b', { text: t('核验不符', 'It does not fit') }), h('span', { text: e.message })),
      h('p', { text: t('请保存本页截图与回执,联系主办方或见证方。', 'Keep a screenshot of this page and your receipt, and turn to the organiser or the witness.') }));
    out.dataset.done = 'no';
    if (!(e instanceof Fault)) throw e;
  } finally {
    bar.hidden = true;
    button.disabled = false;
  }
}

if (box) {
  const button = document.getElementById('run');
  if (!globalThis.crypto?.subtle) {
    fill(document.getElementById('verdict'), h('p.banner.warn', { text: t('浏览器仅在 HTTPS 页面提供加密功能:请用 https 地址打开', 'the browser has its cryptography on https pages only: open the https address') }));
  } else {
    button.disabled = false;
    button.addEventListener('click', () => run(button));
  }
}
