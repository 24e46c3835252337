// The independent reference: makes of the data sets' own files the CSV that `hedgerow query --format csv` has to print
// after importing ULB's R1, R2 and R3, AirQualityUCI and NAB's machine temperature (the last on two gateways, so that every
// value has the same nodes behind it). It imports nothing from src/ and knows each file's format by heart.
//
//   node test/support/reference.mjs DATASETS [--only ulb-motes|air-quality-uci|nab-machine-temperature] [--counts]

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv, exit, stderr, stdout } from 'node:process'

const units = {
  'ulb-motes': { intTemp: 'Cel', voltage: 'V', humidity: '%RH', temp: 'Cel' },
  'air-quality-uci': {
    CO_GT: 'mg/m3',
    NMHC_GT: 'ug/m3',
    C6H6_GT: 'ug/m3',
    NOx_GT: 'ppb',
    NO2_GT: 'ug/m3',
    T: 'Cel',
    RH: '%RH',
    AH: 'g/m3',
  },
  'nab-machine-temperature': {},
}

const sets = {
  /** `epoch-ms node seq intTemp voltage humidity temp PAR TSR`, blanks between, decimal comma, Latin-1, CRLF. */
  'ulb-motes'(folder, take) {
    for (const run of [1, 2, 3])
      for (const line of linesOf(join(folder, `wsn-ulb-library/library1-R${run}.txt`))) {
        if (line === '') continue
        const [ms, node, , ...values] = line.split(' ')
        const names = ['intTemp', 'voltage', 'humidity', 'temp', 'PAR', 'TSR']
        if (values.length !== names.length) throw new Error(`R${run}: ${line}`)
        take(
          `motes/${node}`,
          Number(ms),
          names.map((name, i) => [name, numberOf(values[i])]),
        )
      }
  },
  /** `dd/mm/yyyy;HH.MM.SS;13 values;;`, decimal comma, CRLF; -200 is missing; no zone, taken as UTC. */
  'air-quality-uci'(folder, take, count) {
    const [header, ...lines] = linesOf(join(folder, 'air-quality-uci/AirQualityUCI.csv'))
    // PT08.S1(CO) becomes PT08.S1_CO
    const names = header
      .split(';')
      .slice(2, 15)
      .map((name) => name.replace('(', '_').replace(')', ''))
    for (const line of lines) {
      if (line === '') continue
      const [date, time, ...values] = line.split(';')
      if (date === '') {
        count('emptyRows')
        continue
      }
      const [day, month, year] = date.split('/').map(Number)
      const [hour, minute, second] = time.split('.').map(Number)
      const fields = names
        .map((name, i) => [name, numberOf(values[i])])
        .filter(([, value]) => {
          if (value === -200) count('missingValues')
          return value !== -200
        })
      take('city/air-quality', Date.UTC(year, month - 1, day, hour, minute, second), fields)
    }
  },
  /** `yyyy-mm-dd HH:MM:SS,value`; no zone, taken as UTC. */
  'nab-machine-temperature'(folder, take) {
    const [, ...lines] = linesOf(join(folder, 'nab/realKnownCause/machine_temperature_system_failure.csv'))
    for (const line of lines) {
      if (line === '') continue
      const [time, value] = line.split(',')
      take('machine/temperature', Date.parse(`${time.replace(' ', 'T')}Z`), [['temperature', numberOf(value)]])
    }
  },
}

function linesOf(path) {
  return readFileSync(path, 'latin1')
    .split('\n')
    .map((line) => line.replace('\r', ''))
}

function numberOf(text) {
  const number = Number(text.replace(',', '.'))
  if (text === '' || !Number.isFinite(number)) throw new Error(`no number: ${JSON.stringify(text)}`)
  return number
}

/** All times in the data are whole milliseconds. */
function timeText(ms) {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}

function byCodeUnit(a, b) {
  return a < b ? -1 : a > b ? 1 : 0
}

const [folder, ...flags] = argv.slice(2)
const only = flags.includes('--only') ? flags[flags.indexOf('--only') + 1] : undefined
if (folder === undefined || (only !== undefined && !(only in sets))) {
  stderr.write(`usage: reference.mjs DATASETS [--only ${Object.keys(sets).join('|')}] [--counts]\n`)
  exit(2)
}

/** By `<ms> <sensor>`: `{ sensor, ms, set, fields: Map of field to distinct values }`. */
const records = new Map()
const counts = {}
for (const [set, read] of Object.entries(sets)) {
  if (only !== undefined && set !== only) continue
  const tally = { rows: 0, readings: 0, withoutValues: 0, emptyRows: 0, missingValues: 0, repeated: 0 }
  counts[set] = tally
  const take = (sensor, ms, fields) => {
    tally.rows++
    if (fields.length === 0) {
      tally.withoutValues++
      return
    }
    tally.readings++
    const key = `${ms} ${sensor}`
    const record = records.get(key) ?? { sensor, ms, set, fields: new Map() }
    if (records.has(key)) tally.repeated++
    records.set(key, record)
    for (const [field, value] of fields) record.fields.set(field, (record.fields.get(field) ?? new Set()).add(value))
  }
  read(folder, take, (what) => tally[what]++)
}

const lines = ['sensor,time,field,value,unit,quality,conflict']
for (const tally of Object.values(counts)) Object.assign(tally, { records: 0, values: 0, conflicts: 0 })
for (const { sensor, ms, set, fields } of [...records.values()].sort(
  (a, b) => a.ms - b.ms || byCodeUnit(a.sensor, b.sensor),
)) {
  const tally = counts[set]
  tally.records++
  for (const [field, values] of [...fields].sort(([a], [b]) => byCodeUnit(a, b))) {
    const conflict = values.size > 1 ? 'reading/reading' : ''
    if (conflict !== '') tally.conflicts++
    tally.values += values.size
    for (const value of [...values].sort((a, b) => a - b))
      lines.push(`${sensor},${timeText(ms)},${field},${value},${units[set][field] ?? ''},good,${conflict}`)
  }
}
stdout.write(flags.includes('--counts') ? `${JSON.stringify(counts, null, 2)}\n` : `${lines.join('\n')}\n`)
