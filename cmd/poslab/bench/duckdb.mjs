// What posctl reconcile does, by DuckDB: node reconcile.mjs OURS THEIRS TEMP
import { DuckDBInstance } from '@duckdb/node-api';

const [ours, theirs, temp] = process.argv.slice(2);
const db = await DuckDBInstance.create(':memory:', { threads: '2', preserve_insertion_order: 'false', temp_directory: temp });
const c = await db.connect();
const columns = `{'txn_id':'UUID','merchant_id':'VARCHAR','terminal_id':'VARCHAR','bank':'VARCHAR','amount_fen':'BIGINT','fee_fen':'BIGINT','status':'VARCHAR','ts':'VARCHAR'}`;
for (const [name, file] of [['a', ours], ['b', theirs]]) {
  await c.run(`CREATE TEMP TABLE ${name} AS SELECT * FROM read_csv('${file}', header=true, quote='', escape='', delim=',', columns=${columns})`);
  await c.run(`CREATE TEMP TABLE ${name}_totals AS SELECT bank, merchant_id, count(*) n, sum(amount_fen) fen, sum(fee_fen) fee FROM ${name} GROUP BY ALL`);
}
const number = async (sql) => Number((await (await c.runAndReadAll(sql)).getRows())[0][0] ?? 0);
// Further lines of an id are duplicates; the first one takes part (here: any, as they are equal).
const twice = {};
for (const name of ['a', 'b']) {
  await c.run(`CREATE TEMP TABLE ${name}_twice AS SELECT txn_id, count(*) - 1 AS more FROM ${name} GROUP BY txn_id HAVING count(*) > 1`);
  twice[name] = await number(`SELECT coalesce(sum(more), 0) FROM ${name}_twice`);
}
await c.run(`CREATE TEMP TABLE breaks AS
  SELECT coalesce(a.txn_id, b.txn_id) AS txn_id, a.amount_fen AS ours_fen, b.amount_fen AS theirs_fen,
    CASE WHEN b.txn_id IS NULL THEN 'missing_theirs' WHEN a.txn_id IS NULL THEN 'missing_ours'
      WHEN a.amount_fen <> b.amount_fen THEN 'amount' WHEN a.status <> b.status THEN 'status'
      WHEN a.bank <> b.bank OR a.merchant_id <> b.merchant_id OR a.fee_fen <> b.fee_fen THEN 'field' END AS kind
  FROM a FULL OUTER JOIN b ON a.txn_id = b.txn_id
  WHERE b.txn_id IS NULL OR a.txn_id IS NULL OR a.amount_fen <> b.amount_fen OR a.status <> b.status
    OR a.bank <> b.bank OR a.merchant_id <> b.merchant_id OR a.fee_fen <> b.fee_fen`);
const kinds = {};
for (const [kind, n] of (await (await c.runAndReadAll('SELECT kind, count(DISTINCT txn_id) FROM breaks GROUP BY kind')).getRows())) kinds[kind] = Number(n);
const lines = await number('SELECT count(*) FROM a');
const broken = ['missing_theirs', 'amount', 'status', 'field'].reduce((sum, k) => sum + (kinds[k] ?? 0), 0);
console.log(JSON.stringify({
  Matched: lines - twice.a - broken, MissingTheirs: kinds.missing_theirs ?? 0, MissingOurs: kinds.missing_ours ?? 0, Amount: kinds.amount ?? 0,
  Status: kinds.status ?? 0, Field: kinds.field ?? 0, DuplicateOurs: twice.a, DuplicateTheirs: twice.b,
}));
