/** `npm run bench -- NAME…`: runs benchmarks one after the other; each prints one JSON line with its baseline from the same run. */
import { benches } from './bench/index.ts'

const names = process.argv.slice(2)
const unknown = names.filter((name) => benches[name] === undefined)
if (names.length === 0 || unknown.length > 0) {
  if (unknown.length > 0) console.error(`no benchmark is called ${unknown.join(', ')}`)
  console.error(`usage: npm run bench -- NAME…\nnames: ${Object.keys(benches).join(', ')}`)
  process.exit(2)
}
for (const name of names) {
  const result = await benches[name]!()
  const ratio = Number((result.value / result.baseline).toPrecision(3))
  console.log(JSON.stringify({ bench: name, ...result, ratio }))
}
