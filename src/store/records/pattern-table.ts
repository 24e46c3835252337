import {
  comparePatterns,
  InvalidInputError,
  parseSensorPattern,
  sensorMatcher,
  type SensorId,
  type SensorPattern,
} from '../../model/index.ts'

/** Answers are remembered for this many sensors, then begun anew. */
const maxRemembered = 20_000

/** What is set by pattern; the most specific pattern that matches a sensor wins. */
export class PatternTable<T> {
  readonly #rows: readonly { readonly matches: (sensor: SensorId) => boolean; readonly value: T }[]
  readonly #remembered = new Map<SensorId, T | undefined>()

  constructor(rows: Iterable<readonly [SensorPattern, T]>) {
    this.#rows = [...rows]
      .sort(([a], [b]) => comparePatterns(a, b))
      .map(([pattern, value]) => ({ matches: sensorMatcher(pattern), value }))
  }

  get(sensor: SensorId): T | undefined {
    if (this.#rows.length === 0) return undefined
    const known = this.#remembered.get(sensor)
    if (known !== undefined || this.#remembered.has(sensor)) return known
    const value = this.#rows.find((row) => row.matches(sensor))?.value
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear()
    this.#remembered.set(sensor, value)
    return value
  }
}

/** Gives the test whether a sensor matches any of the patterns; none given: all match. */
export function anyMatcher(patterns: readonly SensorPattern[] | undefined): (sensor: SensorId) => boolean {
  if (patterns === undefined || patterns.length === 0) return () => true
  const tests = patterns.map(sensorMatcher)
  return (sensor) => tests.some((test) => test(sensor))
}

/** Whether text is a pattern in its normal form. */
export function isPattern(text: string): text is SensorPattern {
  try {
    return parseSensorPattern(text) === text
  } catch (error) {
    if (error instanceof InvalidInputError) return false
    throw error
  }
}
