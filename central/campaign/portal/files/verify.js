// A second verifier of "draw-v1", written from docs/PROTOCOL.md and sharing nothing with
// the first (posctl draw verify). It needs nothing but the published files and WebCrypto.
//
//   verify(files, {progress})  files: Map of name → Uint8Array
//     → {campaign, version (of the terms in force), practice, entries, winners, waiting, root, seed, round, unchecked: […], …}
//     throws Fault {file, message} for the first thing that does not fit
//   checkEntry(verdict, entry) entry: the entrant's file
//     → {index, path, outcome, rank, face_fen, place, key, moved_up, passed_on}
//
// It leaves one thing to posctl: the beacon's own signature (BLS12-381, which no browser
// has), and says so in unchecked; where the browser lacks Ed25519 it says that too.

export class Fault extends Error {
  constructor(file, message) { super(`${file}: ${message}`); this.file = file; }
}
const no = (file, message) => { throw new Fault(file, message); };
const need = (ok, file, message) => { if (!ok) no(file, message); };

// ---- bytes
const utf8 = new TextEncoder();
const bytesOf = (text) => utf8.encode(text);
const textOf = (file, b) => {
  try { return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(b); } catch { return no(file, 'not UTF-8'); }
};
const hex = (b) => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
const unhex = (s) => Uint8Array.from(s.match(/../g) ?? [], (x) => parseInt(x, 16));
const join = (...parts) => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) { out.set(p, at); at += p.length; }
  return out;
};
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
const big64 = (n) => { const b = new Uint8Array(8); new DataView(b.buffer).setBigUint64(0, BigInt(n)); return b; };
const sha256 = async (b) => new Uint8Array(await crypto.subtle.digest('SHA-256', b));
const sha256hex = async (b) => hex(await sha256(b));
const unbase64 = (s) => {
  if (s.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(s)) return null;
  return Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
};
const HASH = /^[0-9a-f]{64}$/, NAME = /^[a-z0-9][a-z0-9_-]{0,39}$/, CODE = /^[A-Z0-9]{2,12}$/;
const like = (form, s) => typeof s === 'string' && form.test(s);
const whole = (n, least, most) => Number.isSafeInteger(n) && n >= least && n <= most;

// ---- canonical JSON: read, written again from what is known, compared byte by byte
const parse = (file, b) => { try { return JSON.parse(textOf(file, b)); } catch (e) { return e instanceof Fault ? no(file, e.message) : no(file, 'not JSON'); } };
const pick = (o, ...names) => Object.fromEntries(names.map((n) => [n, o?.[n] ?? null])); // what is missing is written as null: never the same bytes
const list = (a, each) => (Array.isArray(a) ? a.map(each) : null);
const canonical = (file, b, shape) => {
  const o = parse(file, b);
  need(o !== null && typeof o === 'object' && !Array.isArray(o), file, 'not an object');
  need(same(bytesOf(JSON.stringify(shape(o)) + '\n'), b), file, 'not in canonical form');
  return o;
};
const termsShape = (o) => ({
  ...pick(o, 'format', 'campaign', 'version', 'env', 'practice', 'definition'), register: pick(o.register, 'from', 'until'),
  tiers: list(o.tiers, (t) => pick(t, 'face_fen', 'count')), strata: list(o.strata, (s) => pick(s, 'name', 'count')),
  ...pick(o, 'unfilled', 'waiting'), institutions: list(o.institutions, (i) => pick(i, 'code', 'quota')),
  beacon: pick(o.beacon, 'chain', 'round'), ...pick(o, 'publisher', 'witness'),
});
const manifestShape = (o) => ({ ...pick(o, 'format', 'campaign', 'practice'), files: list(o.files, (f) => pick(f, 'name', 'size', 'sha256')) });
const RECORD = ['sha256', 'root', 'size', 'out', 'in', 'reason'];
const recordShape = (o) => ({ kind: o.kind, ...Object.fromEntries(RECORD.filter((n) => o[n] !== undefined && o[n] !== '' && o[n] !== 0).map((n) => [n, o[n]])) });

// moment reads a time in the one spelling that counts and gives milliseconds.
const moment = (file, s) => {
  need(typeof s === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?(Z|[+-]\d\d:\d\d)$/.test(s) && !/[+-]00:00$/.test(s), file, 'a time is not in its form');
  const ms = Date.parse(s);
  need(!Number.isNaN(ms), file, 'a time that is none');
  return ms;
};

// ---- the beacons that are known; times in seconds
const CHAINS = {
  '52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971': { genesis: 1692803367, period: 3, practice: false },
  practice: { genesis: 1577808000, period: 1, practice: true },
};
const roundTime = (t) => CHAINS[t.beacon.chain].genesis + (t.beacon.round - 1) * CHAINS[t.beacon.chain].period;

const checkTerms = (t, file = 'terms.json') => {
  const bad = (ok, what) => need(ok, file, what);
  bad(t.format === 'draw-v1', 'format');
  bad(like(NAME, t.campaign) && whole(t.version, 1, MOST_VERSIONS), 'campaign and version');
  bad(t.env === 'live' || t.env === 'lab', 'env');
  bad(typeof t.practice === 'boolean' && like(HASH, t.definition), 'practice or definition');
  const from = moment(file, t.register?.from), until = moment(file, t.register?.until);
  bad(from < until, 'register');
  bad(whole(t.waiting, 0, 1e7) && (t.unfilled === 'return' || t.unfilled === 'share'), 'waiting or unfilled');
  bad(t.tiers?.length > 0 && t.tiers.length <= 16 && t.tiers.every((x) => whole(x.face_fen, 1, Number.MAX_SAFE_INTEGER) && whole(x.count, 1, 1e7)), 'tiers');
  const strata = t.strata ?? [];
  bad(strata.length <= 64 && strata.every((s) => like(NAME, s.name) && whole(s.count, 1, 1e7)) && new Set(strata.map((s) => s.name)).size === strata.length, 'strata');
  const envelopes = t.tiers.reduce((n, x) => n + x.count, 0);
  bad(envelopes <= 1e7, 'more envelopes than there can be');
  bad(strata.length === 0 || strata.reduce((n, s) => n + s.count, 0) === envelopes, 'quotas and envelopes differ');
  bad(t.institutions?.length > 0 && t.institutions.every((i) => like(CODE, i.code) && whole(i.quota, 0, Number.MAX_SAFE_INTEGER))
    && new Set(t.institutions.map((i) => i.code)).size === t.institutions.length, 'institutions');
  const chain = Object.hasOwn(CHAINS, t.beacon?.chain) ? CHAINS[t.beacon.chain] : null;
  bad(chain && whole(t.beacon.round, 1, 2 ** 40), 'beacon');
  bad(t.practice === chain.practice && (!chain.practice || t.env === 'lab'), 'practice beacon and terms do not go together');
  bad(roundTime(t) * 1000 > until, 'the round exists before registration has closed');
  return { from, until, envelopes };
};

// ---- signed notes (golang.org/x/mod/sumdb/note, C2SP signed-note)
const keyOf = async (file, vkey, alg) => {
  const [name, hash, ...rest] = String(vkey).split('+');
  const key = unbase64(rest.join('+'));
  need(name && !/[\s+]/u.test(name) && /^[0-9a-fA-F]{8}$/.test(hash ?? '') && key && key.length === 33 && key[0] === alg, file, 'a key that is none');
  need(hex((await sha256(join(bytesOf(name + '\n'), key))).slice(0, 4)) === hash.toLowerCase(), file, 'a key whose hash does not fit');
  return { name, hash: hash.toLowerCase(), raw: key.slice(1) };
};
let hasEd25519;
const verifyEd25519 = async (raw, signature, message) => {
  if (hasEd25519 === false) return null;
  try {
    const key = await crypto.subtle.importKey('raw', raw, { name: 'Ed25519' }, false, ['verify']);
    hasEd25519 = true;
    return await crypto.subtle.verify({ name: 'Ed25519' }, key, signature, message);
  } catch (e) {
    if (e.name === 'NotSupportedError') { hasEd25519 = false; return null; }
    return false;
  }
};
// openNote gives the text and the signatures of the known keys; others count as strangers.
const openNote = async (file, b, keys) => {
  const msg = textOf(file, b);
  need(b.length <= 1e6 && !/[\u0000-\u0009\u000b-\u001f]/.test(msg), file, 'not a note');
  const split = msg.lastIndexOf('\n\n');
  need(split >= 0 && msg.length > split + 2 && msg.endsWith('\n'), file, 'not a note');
  const text = msg.slice(0, split + 1), lines = msg.slice(split + 2, -1).split('\n');
  need(lines.length <= 100, file, 'too many signatures');
  const found = new Map();
  let strangers = 0, unchecked = false;
  for (const line of lines) {
    const m = /^— ([^\s+]+) (\S+)$/u.exec(line), sig = m && unbase64(m[2]);
    need(sig && sig.length > 4, file, 'a signature that is none');
    const key = keys.find((k) => k.name === m[1] && k.hash === hex(sig.slice(0, 4)));
    if (!key) { strangers++; continue; }
    if (found.has(key)) continue;
    const body = sig.slice(4);
    const [signature, message] = key.read(file, body, text);
    const ok = await verifyEd25519(key.raw, signature, message);
    need(ok !== false, file, `the signature of ${key.name} does not fit`);
    if (ok === null) unchecked = true;
    found.set(key, body);
  }
  return { text, found, strangers, unchecked };
};
const asPublisher = (key) => ({ ...key, read: (file, body, text) => { need(body.length === 64, file, 'a signature that is none'); return [body, bytesOf(text)]; } });
const asWitness = (key) => ({
  ...key,
  read: (file, body, text) => {
    need(body.length === 72, file, 'a cosignature that is none');
    return [body.slice(8), bytesOf(`cosignature/v1\ntime ${seconds(body)}\n${text}`)];
  },
});
const seconds = (body) => new DataView(body.buffer, body.byteOffset).getBigUint64(0);

// ---- trees (RFC 6962, 2.1)
const leafHash = (b) => sha256(join(Uint8Array.of(0), b));
const nodeHash = (l, r) => sha256(join(Uint8Array.of(1), l, r));
const BATCH = 4096;
const inBatches = async (n, each, tick) => {
  const out = new Array(n);
  for (let at = 0; at < n; at += BATCH) {
    const part = await Promise.all(Array.from({ length: Math.min(BATCH, n - at) }, (_, i) => each(at + i)));
    for (let i = 0; i < part.length; i++) out[at + i] = part[i];
    if (tick) tick(Math.min(n, at + BATCH), n);
  }
  return out;
};
// levels are the tree from the leaves up; a lone last node moves up unchanged.
const levels = async (leaves) => {
  const all = [leaves];
  while (all.at(-1).length > 1) {
    const below = all.at(-1), pairs = below.length >> 1;
    const above = await inBatches(pairs, (i) => nodeHash(below[2 * i], below[2 * i + 1]));
    if (below.length % 2) above.push(below.at(-1));
    all.push(above);
  }
  return all;
};
const rootOf = async (leaves) => (leaves.length ? (await levels(leaves)).at(-1)[0] : sha256(new Uint8Array()));
// audit is the path of a leaf: what stands beside it on each level, and on which side.
const audit = (tree, index) => {
  const path = [];
  for (let h = 0, i = index; h < tree.length - 1; h++, i >>= 1) {
    const beside = i ^ 1;
    if (beside < tree[h].length) path.push({ hash: tree[h][beside], left: beside < i });
  }
  return path;
};
const climb = async (leaf, path) => {
  let h = leaf;
  for (const p of path) h = p.left ? await nodeHash(p.hash, h) : await nodeHash(h, p.hash);
  return h;
};

// ---- the log: each version of the terms, the list, the result, advances
const follows = (before) => ({ terms: 'list', list: 'result' })[before] ?? (before ? 'advance' : 'terms');
const MOST_VERSIONS = 99;
const readLog = (b, file = 'log.jsonl') => {
  const text = textOf(file, b);
  need(text === '' || text.endsWith('\n'), file, 'no line feed at its end');
  const lines = text.split('\n').slice(0, -1);
  let before;
  return lines.map((line, i) => {
    const raw = bytesOf(line + '\n'), r = canonical(file, raw, recordShape);
    const another = r.kind === 'terms' && before === 'terms' && i < MOST_VERSIONS, kind = another ? 'terms' : follows(before);
    before = kind;
    need(r.kind === kind, file, `record ${i + 1} is not ${kind}`);
    const fields = { terms: ['sha256'], list: ['root', 'size'], result: ['sha256'], advance: ['out', 'in', 'reason'] }[kind];
    need(RECORD.every((n) => r[n] === undefined || fields.includes(n)), file, `record ${i + 1} has fields of another kind`);
    if (fields.includes('sha256')) need(like(HASH, r.sha256), file, `record ${i + 1}`);
    if (kind === 'list') need(like(HASH, r.root) && whole(r.size ?? 0, 0, 1e8), file, `record ${i + 1}`);
    if (kind === 'advance') need(like(HASH, r.out) && (r.in === undefined || like(HASH, r.in)) && like(NAME, r.reason), file, `record ${i + 1}`);
    return { ...r, size: r.size ?? 0, raw };
  });
};

// ---- the list
const HEAD = 'ticket,stratum,institution';
const readEntries = (b, t, file = 'entries.csv') => {
  const text = textOf(file, b), strata = new Set((t.strata ?? []).map((s) => s.name)), codes = new Set(t.institutions.map((i) => i.code));
  need(text.startsWith(HEAD + '\n') && text.endsWith('\n'), file, 'header or last line feed');
  let last = '';
  return text.slice(HEAD.length + 1).split('\n').slice(0, -1).map((line, i) => {
    const at = `${file}:${i + 2}`, f = line.split(',');
    need(f.length === 3 && like(HASH, f[0]), at, 'no ticket');
    need(strata.size ? strata.has(f[1]) : f[1] === '', at, 'stratum is not one of the terms');
    need(codes.has(f[2]), at, 'institution is not one of the terms');
    need(last < f[0], at, 'tickets are not in ascending order');
    last = f[0];
    return { line, ticket: f[0], stratum: f[1], institution: f[2] };
  });
};

// ---- the draw: PROTOCOL §8, steps 1 to 4
const rank = async (entries, t, seed, tick) => {
  const key = await crypto.subtle.importKey('raw', seed, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const keys = await inBatches(entries.length, async (i) => {
    const e = entries[i], ticket = unhex(e.ticket);
    const message = t.strata?.length ? join(bytesOf(e.stratum), Uint8Array.of(0), ticket) : ticket;
    return hex(new Uint8Array(await crypto.subtle.sign('HMAC', key, message)));
  }, tick);
  const order = entries.map((e, i) => ({ ...e, key: keys[i] }));
  order.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.ticket < b.ticket ? -1 : 1));
  return order;
};
const decide = (order, t, envelopes) => {
  const places = new Map((t.strata?.length ? t.strata : [{ name: '', count: envelopes }]).map((s) => [s.name, s.count]));
  const quota = new Map(t.institutions.map((i) => [i.code, i.quota || Infinity]));
  let left = envelopes;
  const take = (e) => {
    if (left === 0 || quota.get(e.institution) === 0) return false;
    quota.set(e.institution, quota.get(e.institution) - 1);
    left--;
    e.won = true;
    return true;
  };
  for (const e of order) if (places.get(e.stratum) > 0 && take(e)) places.set(e.stratum, places.get(e.stratum) - 1);
  if (t.unfilled === 'share') for (const e of order) if (!e.won) take(e);
  const faces = t.tiers.flatMap((x) => [x]), winners = [], waiting = [], count = new Map();
  let tier = 0, used = 0;
  for (const e of order) {
    if (e.won) {
      if (used === faces[tier].count) { tier++; used = 0; }
      used++;
      e.rank = winners.push(e);
      e.face = faces[tier].face_fen;
      continue;
    }
    const n = count.get(e.stratum) ?? 0;
    if (n < t.waiting) { count.set(e.stratum, n + 1); e.place = n + 1; waiting.push(e); }
  }
  return { winners, waiting };
};
const replay = (advances, winners, waiting, first, file = 'log.jsonl') => {
  const moves = [];
  const holds = new Map(winners.map((w) => [w.ticket, w.stratum])), queue = new Map();
  for (const w of waiting) queue.set(w.stratum, [...(queue.get(w.stratum) ?? []), w.ticket]);
  for (const [i, a] of advances.entries()) {
    need(holds.has(a.out), file, `record ${first + i}: nothing to lose`);
    const stratum = holds.get(a.out);
    holds.delete(a.out);
    const next = queue.get(stratum)?.shift();
    if (next !== undefined) holds.set(next, stratum);
    need(a.in === next, file, `record ${first + i}: not the next on the waiting list`);
    moves.push(a);
  }
  return moves;
};

const FIXED = ['terms.json', 'entries.csv', 'log.jsonl', 'round.json', 'winners.csv', 'waiting.csv', 'transcript.json', 'manifest.json', 'manifest.txt'];

// checkManifest holds every file against the manifest.
const checkManifest = async (files) => {
  const raw = files.get('manifest.json') ?? no('manifest.json', 'missing');
  const m = canonical('manifest.json', raw, manifestShape);
  need(m.format === 'draw-v1', 'manifest.json', 'format');
  const listed = new Map();
  let last = '';
  for (const f of m.files ?? []) {
    need(typeof f.name === 'string' && f.name > last && !/[/\\]/.test(f.name) && !f.name.startsWith('.'), 'manifest.json', 'names are plain and sorted');
    last = f.name;
    listed.set(f.name, f);
  }
  for (const name of [...files.keys()].sort()) {
    if (name === 'manifest.json' || name === 'manifest.txt') continue;
    const want = listed.get(name) ?? no(name, 'a file that the manifest does not list');
    listed.delete(name);
    const b = files.get(name);
    need(b.length === want.size && (await sha256hex(b)) === want.sha256, name, 'size or hash is not what the manifest says');
  }
  for (const name of listed.keys()) no(name, 'missing: the manifest lists it');
  return { m, raw };
};

// checkpoints verifies those of each version of the terms, of list and result, the last, and
// those between that are there. versions are the terms, the one in force last.
const checkCheckpoints = async (files, versions, records, keys) => {
  const v = versions.length, { terms: t, times } = versions.at(-1);
  const origin = `dcpos/draw/${t.campaign}`, leaves = await Promise.all(records.map((r) => leafHash(r.raw)));
  let unchecked = false, last = 0n;
  const seen = [];
  for (let n = 1; n <= records.length; n++) {
    const file = `checkpoint-${n}.txt`;
    if (!files.has(file) && n > v + 2 && n < records.length) continue;
    const note = await openNote(file, files.get(file) ?? no(file, 'missing'), keys);
    need(note.found.size === 2 && note.strangers === 0, file, 'want the signatures of publisher and witness, and no others');
    unchecked ||= note.unchecked;
    const root = btoa(String.fromCharCode(...(await rootOf(leaves.slice(0, n)))));
    need(note.text === `${origin}\n${n}\n${root}\n`, file, `not the tree of the log's first ${n} records`);
    const at = seconds(note.found.get(keys[1]));
    need(at > 0n && at <= 2n ** 40n, file, 'a time that is none');
    need(n === v + 1 || at >= last, file, 'the witness saw it before the one that it continues'); // the list's own times are held below
    last = at;
    seen[n] = Number(at);
  }
  for (const [i, x] of versions.entries()) {
    need(seen[i + 1] * 1000 < x.times.from, `checkpoint-${i + 1}.txt`, 'the terms were witnessed after registration opened');
    need(i === 0 || seen[i + 1] * 1000 < versions[i - 1].times.from, `checkpoint-${i + 1}.txt`, 'the terms were witnessed after registration opened by those before');
  }
  need(seen[v + 1] * 1000 >= times.until, `checkpoint-${v + 1}.txt`, 'the list was witnessed before registration closed');
  need(seen[v + 1] < roundTime(t), `checkpoint-${v + 1}.txt`, 'the list was witnessed when the round could be known');
  for (const name of files.keys()) {
    const m = /^checkpoint-([1-9]\d*)\.txt$/.exec(name);
    const old = /^terms-([1-9]\d*)\.json$/.exec(name);
    need(FIXED.includes(name) || (m && Number(m[1]) <= records.length) || (old && Number(old[1]) < v), name, 'a file that belongs to no bundle');
  }
  return { seen, unchecked };
};

// readVersions reads every version of the terms and holds each against its record.
const readVersions = async (get, records) => {
  const v = records.filter((r) => r.kind === 'terms').length, all = [];
  for (let n = 1; n <= v; n++) {
    const file = n < v ? `terms-${n}.json` : 'terms.json', raw = get(file), terms = canonical(file, raw, termsShape), times = checkTerms(terms, file);
    const hash = await sha256(raw);
    need(records[n - 1].sha256 === hex(hash), 'log.jsonl', `record ${n}: the hash is not that of ${file}`);
    need(terms.version === n, file, `not version ${n}`);
    all.push({ terms, times, hash });
  }
  const last = all.at(-1).terms;
  for (const [i, { terms }] of all.entries()) {
    need(['campaign', 'env', 'practice', 'publisher', 'witness'].every((k) => terms[k] === last[k]), `terms-${i + 1}.json`, 'not the same campaign in all versions');
  }
  return all;
};

const csv = (head, rows) => bytesOf([head, ...rows].map((r) => r + '\n').join(''));

// verify does the draw again and compares every byte.
export async function verify(files, { progress = () => {} } = {}) {
  const { m, raw } = await checkManifest(files);
  const get = (name) => files.get(name) ?? no(name, 'missing');
  const t = canonical('terms.json', get('terms.json'), termsShape);
  checkTerms(t);
  const publisher = asPublisher(await keyOf('terms.json', t.publisher, 1)), witness = asWitness(await keyOf('terms.json', t.witness, 4));
  need(publisher.name !== witness.name && !t.publisher.endsWith(t.witness.slice(-40)), 'terms.json', 'publisher and witness are one party');
  const records = readLog(get('log.jsonl'));
  const versions = await readVersions(get, records), v = versions.length, { hash: termsHash, times } = versions.at(-1);
  need(records.length >= v + 2, 'log.jsonl', 'want the records terms, list and result');
  const { seen, unchecked: plain } = await checkCheckpoints(files, versions, records, [publisher, witness]);
  const signed = await openNote('manifest.txt', get('manifest.txt'), [publisher]);
  need(signed.found.size === 1 && signed.strangers === 0 && signed.text === `dcpos/draw-bundle/${m.campaign}\n${await sha256hex(raw)}\n`, 'manifest.txt', 'it signs another manifest');
  need(m.campaign === t.campaign && m.practice === t.practice, 'manifest.json', 'campaign or practice is not what the terms say');

  const round = canonical('round.json', get('round.json'), (o) => pick(o, 'round', 'randomness', 'signature'));
  need(round.round === t.beacon.round, 'round.json', 'not the round that the terms name');
  need(/^[0-9a-fA-F]{96}$/.test(round.signature), 'round.json', 'signature: want 48 bytes');
  const randomness = await sha256(unhex(round.signature));
  need(hex(randomness) === round.randomness, 'round.json', 'the randomness is not the hash of the signature');

  const entries = readEntries(get('entries.csv'), t);
  const leaves = await inBatches(entries.length, (i) => leafHash(bytesOf(entries[i].line)), (n, of) => progress(0.5 * n / of));
  const tree = await levels(leaves), root = leaves.length ? tree.at(-1)[0] : await sha256(new Uint8Array());
  need(records[v].root === hex(root) && records[v].size === entries.length, 'entries.csv', `it is not the list that the log's record ${v + 1} fixed`);
  const seed = await sha256(join(bytesOf('draw-v1'), termsHash, root, big64(entries.length), randomness));
  const order = await rank(entries, t, seed, (n, of) => progress(0.5 + 0.5 * n / of));
  const { winners, waiting } = decide(order, t, times.envelopes);

  const winnersFile = csv('rank,ticket,stratum,institution,face_fen,key', winners.map((w) => `${w.rank},${w.line},${w.face},${w.key}`));
  const waitingFile = csv('place,ticket,stratum,institution,key', waiting.map((w) => `${w.place},${w.line},${w.key}`));
  const last = new Map(winners.map((w) => [w.stratum, w.key]));
  const strata = t.strata?.length ? t.strata.map((s) => s.name) : [''];
  const transcript = bytesOf(JSON.stringify({
    format: 'draw-v1', campaign: t.campaign, practice: t.practice, terms_sha256: hex(termsHash), list_root: hex(root), list_size: entries.length,
    round: round.round, randomness: hex(randomness), seed: hex(seed), winners: winners.length, waiting: waiting.length,
    cutoffs: strata.filter((s) => last.has(s)).map((s) => ({ stratum: s, key: last.get(s) })),
    winners_sha256: await sha256hex(winnersFile), waiting_sha256: await sha256hex(waitingFile),
  }) + '\n');
  for (const [name, want] of [['winners.csv', winnersFile], ['waiting.csv', waitingFile], ['transcript.json', transcript]]) {
    need(same(get(name), want), name, 'it is not what the draw gives');
  }
  need(records[v + 1].sha256 === await sha256hex(transcript), 'log.jsonl', `record ${v + 2}: the hash is not that of transcript.json`);
  const moves = replay(records.slice(v + 2), winners, waiting, v + 3);
  progress(1);
  return {
    campaign: t.campaign, version: v, practice: t.practice, entries: entries.length, winners: winners.length, waiting: waiting.length, advances: moves.length,
    root: hex(root), seed: hex(seed), round: round.round, terms_seen: seen[v], list_seen: seen[v + 1], round_time: roundTime(t),
    publisher: (await sha256hex(bytesOf(t.publisher))).slice(0, 16), witness: (await sha256hex(bytesOf(t.witness))).slice(0, 16),
    unchecked: ['beacon', ...(plain || signed.unchecked ? ['signatures'] : [])],
    terms: t, keys: { publisher }, order, tree, lines: entries, rootBytes: root, moves,
  };
}

// checkEntry follows one receipt: signature → ticket → leaf → root → rank → tier.
export async function checkEntry(v, entry) {
  const file = 'receipt';
  need(entry && entry.format === 'dcpos.entry-v1' && typeof entry.receipt === 'string', file, 'not an entry file');
  const note = await openNote(file, bytesOf(entry.receipt), [v.keys.publisher]);
  need(note.found.size === 1 && note.strangers === 0, file, 'not signed by the publisher');
  const l = note.text.split('\n');
  need(l.length === 7 && l[6] === '' && l[0] === 'dcpos.receipt-v1', file, 'not a receipt');
  need(l[1] === v.terms.campaign && l[2] === v.terms.definition, file, 'of another campaign, or another version of it');
  const [ticket] = l[3].split(','), standing = l[4];
  need(standing === 'entered' || standing === 'place_open', file, 'its standing is unknown');
  for (const f of ['salt', 'person', 'phone']) need(like(HASH, entry[f]), file, `${f}: want 32 bytes in hexadecimal`);
  const made = await sha256(join(bytesOf(`ticket-v1\0${l[1]}\0`), unhex(entry.salt), unhex(entry.person), unhex(entry.phone)));
  need(hex(made) === ticket, file, 'the ticket is not made of this salt, person and phone');
  const index = v.lines.findIndex((e) => e.line === l[3]);
  if (index < 0) {
    need(standing !== 'entered', 'entries.csv', 'the publisher promised this entry and the list lacks it: the receipt proves it');
    return { index: -1, path: 0, outcome: 'absent', unchecked: note.unchecked };
  }
  const path = audit(v.tree, index);
  need(same(await climb(await leafHash(bytesOf(l[3])), path), v.rootBytes), 'entries.csv', 'the entry is not under the root');
  const e = v.order.find((x) => x.ticket === ticket);
  return {
    index, path: path.length, outcome: e.won ? 'won' : e.place ? 'waiting' : 'lost', rank: e.rank, face_fen: e.face, place: e.place, key: e.key,
    position: v.order.indexOf(e) + 1, moved_up: v.moves.some((m) => m.in === ticket), passed_on: v.moves.some((m) => m.out === ticket), unchecked: note.unchecked,
  };
}
