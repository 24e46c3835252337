import type { Clock, Reading, SensorId, TimeUs } from '../model/index.ts'
import type { UntimedReading } from './formats/index.ts'

/** Sensors whose last stamp is remembered: some MB. Forgetting one costs nothing once its millisecond is over. */
const stampedSensors = 100_000

/**
 * Gives readings without a time the present one, strictly increasing for each sensor: the clock has whole milliseconds, and
 * two readings of one millisecond must not become one record. One stamper serves all who append through a node.
 */
export function createStamper(clock: Clock): (readings: readonly UntimedReading[]) => Reading[] {
  const last = new Map<SensorId, TimeUs>()
  const stamp = (sensor: SensorId): TimeUs => {
    const now = Math.max(clock.nowUs(), (last.get(sensor) ?? 0) + 1)
    if (last.size >= stampedSensors && !last.has(sensor)) last.delete(last.keys().next().value as SensorId)
    last.set(sensor, now)
    return now
  }
  return (readings) => readings.map((reading) => ({ ...reading, time: reading.time ?? stamp(reading.sensor) }))
}
