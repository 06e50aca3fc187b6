// breaks.csv by the words of the contract, in SQL: node compare.mjs OUT OURS OURS THEIRS THEIRS
import { writeFileSync } from 'node:fs';
import { DuckDBInstance } from '@duckdb/node-api';

const [out, ...files] = process.argv.slice(2);
const db = await DuckDBInstance.create(':memory:', { threads: '1' });
const c = await db.connect();
for (const [side, pair] of [['a', files.slice(0, 2)], ['b', files.slice(2)]]) {
  await c.run(`CREATE TABLE ${side}_lines (file INT, line BIGINT, txn_id VARCHAR, merchant_id VARCHAR, bank VARCHAR, amount BIGINT, fee BIGINT, status VARCHAR)`);
  for (const [i, file] of pair.entries()) {
    await c.run(`INSERT INTO ${side}_lines SELECT ${i + 1}, 1 + row_number() OVER (), txn_id, merchant_id, bank, amount_fen::BIGINT, fee_fen::BIGINT, status
      FROM read_csv('${file}', header=true, quote='', escape='', delim=',', comment='', all_varchar=true, nullstr='<never>', parallel=false)`);
  }
  await c.run(`CREATE TABLE ${side}_ranked AS SELECT *, row_number() OVER (PARTITION BY txn_id ORDER BY file, line) AS turn, file || ':' || line AS number FROM ${side}_lines`);
  await c.run(`CREATE TABLE ${side} AS SELECT * FROM ${side}_ranked WHERE turn = 1`);
}
const differs = (col) => `a.${col} <> b.${col}`;
const listed = (value) => `concat_ws(';', ${[['bank', 'bank'], ['merchant_id', 'merchant_id'], ['fee_fen', 'fee']]
  .map(([name, col]) => `CASE WHEN ${differs(col)} THEN ${value(name, col)} END`).join(', ')})`;
const rows = await (await c.runAndReadAll(`
  SELECT kind, txn_id, bank, merchant, oa, ta, os, ts, ol, tl, field, ov, tv FROM (
    SELECT 'duplicate_ours' AS kind, txn_id, bank, merchant_id AS merchant, amount::VARCHAR AS oa, '' AS ta, status AS os, '' AS ts, number AS ol, '' AS tl,
      '' AS field, '' AS ov, '' AS tv, file AS f1, line AS l1, 0 AS f2, 0 AS l2 FROM a_ranked WHERE turn > 1
    UNION ALL
    SELECT 'duplicate_theirs', txn_id, bank, merchant_id, '', amount::VARCHAR, '', status, '', number, '', '', '', 0, 0, file, line FROM b_ranked WHERE turn > 1
    UNION ALL
    SELECT k, id, shown_bank, shown_merchant, coalesce(oa::VARCHAR, ''), coalesce(ta::VARCHAR, ''), coalesce(os, ''), coalesce(ts, ''), coalesce(ol, ''), coalesce(tl, ''),
      CASE WHEN k = 'field_mismatch' THEN names ELSE '' END, CASE WHEN k = 'field_mismatch' THEN ov ELSE '' END, CASE WHEN k = 'field_mismatch' THEN tv ELSE '' END,
      coalesce(f1, 0), coalesce(l1, 0), coalesce(f2, 0), coalesce(l2, 0)
    FROM (SELECT coalesce(a.txn_id, b.txn_id) AS id, coalesce(a.bank, b.bank) AS shown_bank, coalesce(a.merchant_id, b.merchant_id) AS shown_merchant,
        a.amount AS oa, b.amount AS ta, a.status AS os, b.status AS ts, a.number AS ol, b.number AS tl, a.file AS f1, a.line AS l1, b.file AS f2, b.line AS l2,
        ${listed((name) => `'${name}'`)} AS names, ${listed((_, col) => `a.${col}::VARCHAR`)} AS ov, ${listed((_, col) => `b.${col}::VARCHAR`)} AS tv,
        CASE WHEN b.txn_id IS NULL THEN 'missing_theirs' WHEN a.txn_id IS NULL THEN 'missing_ours' WHEN ${differs('amount')} THEN 'amount_mismatch'
          WHEN ${differs('status')} THEN 'status_mismatch' WHEN ${differs('bank')} OR ${differs('merchant_id')} OR ${differs('fee')} THEN 'field_mismatch' END AS k
      FROM a FULL OUTER JOIN b ON a.txn_id = b.txn_id) WHERE k IS NOT NULL)
  ORDER BY encode(kind), encode(txn_id), f1, l1, f2, l2`)).getRows();
const header = 'kind,txn_id,bank,merchant_id,ours_amount_fen,theirs_amount_fen,ours_status,theirs_status,ours_line,theirs_line,field,ours_value,theirs_value';
writeFileSync(out, header + '\n' + rows.map((r) => r.join(',') + '\n').join(''));
