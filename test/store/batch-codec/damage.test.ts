import assert from 'node:assert/strict'
import { zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import {
  checkReading,
  DamagedError,
  LimitError,
  limits,
  VersionError,
  type FieldName,
  type SensorId,
} from '../../../src/model/index.ts'
import { decodeBatch, decodeColumns, encodeBatch, summarizeBatch } from '../../../src/store/batch-codec/index.ts'
import { ByteWriter } from '../../../src/store/batch-codec/bytes.ts'
import { NameWriter } from '../../../src/store/batch-codec/names.ts'
import { RangeEncoder } from '../../../src/store/batch-codec/range-coder.ts'
import { encodeSequence, planSequence, writeSequence } from '../../../src/store/batch-codec/sequence.ts'
import { putSymbols } from '../../../src/store/batch-codec/sink.ts'
import { batches, greenhouse } from './batches.ts'

/** Decodes in every way; anything but readings within the limits or one of the three errors fails the test. */
function probe(bytes: Uint8Array): 'refused' | 'read' {
  const attempt = (decode: () => void): boolean => {
    try {
      decode()
      return true
    } catch (error) {
      if (error instanceof DamagedError || error instanceof VersionError || error instanceof LimitError) return false
      throw error
    }
  }
  const summarized = attempt(() => {
    const { readings, sensors, series } = summarizeBatch(bytes)
    assert.ok(readings >= 1 && readings <= limits.batchReadings)
    assert.ok(series.length <= limits.batchSeries)
    assert.equal(
      sensors.reduce((sum, { count }) => sum + count, 0),
      readings,
    )
  })
  const read = attempt(() => {
    const readings = decodeBatch(bytes)
    for (const reading of readings) checkReading(reading)
    assert.equal(readings.length, summarizeBatch(bytes).readings)
  })
  const scanned = attempt(() => {
    for (const column of decodeColumns(bytes)) assert.ok(column.times.length > 0)
  })
  assert.equal(read, scanned)
  if (read) assert.ok(summarized, 'what decodes can be summarized')
  return read ? 'read' : 'refused'
}

/** Batches with every mode that a column has. */
function samples(): Uint8Array[] {
  const mixed = Array.from({ length: 24 }, (_, i) => ({
    sensor: `hall/${i % 3}` as SensorId,
    time: 1_763_600_000_000_000 + i * 250_000,
    fields: [
      { field: 'wild' as FieldName, value: Math.sin(i) * 10 ** ((i * 7) % 40) },
      { field: 'single' as FieldName, value: Math.fround(Math.sin(i) * 10 ** ((i * 5) % 30)) },
      { field: 'near' as FieldName, value: 74.1 + i * 0.1 },
      { field: 'odd' as FieldName, value: i === 9 ? -0 : i / 4 },
      { field: 'big' as FieldName, value: 2n ** 60n + BigInt(i * i) },
      { field: 'count' as FieldName, value: BigInt(i * 100) },
      { field: 'on' as FieldName, value: i % 5 === 0, quality: i % 11 === 0 ? ('bad' as const) : ('good' as const) },
      { field: 'name' as FieldName, value: `text ${i}` },
      ...(i % 4 === 0 ? [] : [{ field: 'state' as FieldName, value: i % 2 === 0 ? 'open' : 'closed', unit: 'x' }]),
    ],
  }))
  // One table in which no column has all rows.
  const partial = Array.from({ length: 12 }, (_, i) => ({
    sensor: 'm' as SensorId,
    time: i,
    fields: ['a', 'b', 'c']
      .filter((_, f) => f !== Math.floor(i / 4))
      .map((name) => ({ field: name as FieldName, value: i })),
  }))
  return [
    encodeBatch(partial),
    encodeBatch(greenhouse(60)),
    encodeBatch(mixed),
    encodeBatch([...mixed, ...greenhouse(20)]),
    encodeBatch([{ sensor: 'm' as SensorId, time: 0, fields: [{ field: 'x' as FieldName, value: 1e300 }] }]),
  ]
}

describe('batch codec on damaged bytes', () => {
  it('refuses every truncation', () => {
    for (const bytes of samples())
      for (let length = 0; length < bytes.length; length++)
        assert.equal(probe(bytes.subarray(0, length)), 'refused', `${length} of ${bytes.length} bytes`)
  })

  it('reads within the limits or refuses with every bit flipped', () => {
    let refused = 0
    for (const bytes of samples())
      for (let bit = 0; bit < 8 * bytes.length; bit++) {
        const flipped = Uint8Array.from(bytes)
        ;(flipped[bit >>> 3] as number) ^= 1 << (bit & 7)
        if (probe(flipped) === 'refused') refused++
      }
    assert.ok(refused > 0)
  })

  it('survives bytes at random, also behind a right beginning', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(31),
        fc.nat({ max: 30 }),
        batches,
        (noise, flags, kept, readings) => {
          probe(noise)
          probe(Uint8Array.from([1, flags, ...noise]))
          probe(Buffer.concat([encodeBatch(readings).subarray(0, kept), noise]))
        },
      ),
      { numRuns: 500 },
    )
  })

  it('refuses a reading without fields', () => {
    /** A batch of two readings of m with the partial columns a and b, all 21, and these marks of absence. */
    const build = (marksOfA: number[], marksOfB: number[]): Uint8Array => {
      const sink = { header: new ByteWriter(64), coder: new RangeEncoder(), raw: new ByteWriter(64) }
      const { header, coder } = sink
      header.bytes(Uint8Array.of(1, 0, 2))
      const names = new NameWriter(header, coder)
      names.sensors(['m'])
      header.varint(2)
      for (const field of ['a', 'b']) {
        names.field(field)
        names.unit(undefined)
        header.u8(0x80)
      }
      const differences = new Float64Array(2)
      const times = planSequence(Float64Array.of(5, 6), 2, differences)
      writeSequence(header, times)
      encodeSequence(coder, differences, 2, times)
      for (const marks of [marksOfA, marksOfB]) putSymbols(sink, Float64Array.from(marks), 2)
      for (let column = 0; column < 2; column++) {
        header.u8(0)
        header.signed(21)
      }
      const stream = coder.finish()
      header.varint(stream.length)
      return Buffer.concat([header.view(), stream])
    }
    assert.equal(probe(build([0, 1], [1, 0])), 'read')
    assert.equal(probe(build([0, 1], [0, 0])), 'read')
    for (const fault of [build([0, 1], [0, 1]), build([1, 1], [0, 0]), build([0, 2], [0, 0])])
      for (const decode of [decodeBatch, summarizeBatch]) assert.throws(() => decode(fault), DamagedError)
  })

  it('names an unknown version', () => {
    const bytes = encodeBatch(greenhouse(2))
    bytes[0] = 2
    for (const read of [decodeBatch, summarizeBatch]) assert.throws(() => read(bytes), VersionError)
  })

  it('refuses more bytes than a batch may have before it reads them', () => {
    assert.throws(() => decodeBatch(new Uint8Array(limits.batchBytes + 1)), LimitError)
  })

  it('refuses bytes behind the end', () => {
    for (const bytes of samples()) assert.equal(probe(Buffer.concat([bytes, Uint8Array.of(0)])), 'refused')
  })

  it('refuses a zstd bomb', () => {
    // A column of byte planes, whose 100 values take 800 raw bytes.
    const readings = Array.from({ length: 100 }, (_, i) => ({
      sensor: 'm' as SensorId,
      time: i,
      fields: [{ field: 'x' as FieldName, value: i % 2 === 0 ? 1e300 / (i + 1) : -1e-300 / (i + 1) }],
    }))
    const bytes = encodeBatch(readings)
    assert.equal(probe(bytes), 'read')
    const frame = Buffer.from(bytes).indexOf(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd))
    const header = frame > 0 ? bytes.subarray(0, frame) : bytes.subarray(0, bytes.length - 800)
    const bomb = (declared: number, unpacked: number): Uint8Array => {
      const length = new ByteWriter(8)
      length.varint(declared)
      const flags = Uint8Array.from(header)
      ;(flags[1] as number) |= 16
      // The raw length 800 stands in two bytes before the empty or short stream: replace it in place.
      const at = Buffer.from(flags).indexOf(Uint8Array.of(0xa0, 0x06))
      assert.ok(at > 0)
      return Buffer.concat([
        flags.subarray(0, at),
        length.view(),
        flags.subarray(at + 2),
        zstdCompressSync(Buffer.alloc(unpacked)),
      ])
    }
    assert.equal(probe(bomb(800, 800)), 'read')
    const bombs = [
      [800, 100_000_000, 'while it is unpacked'],
      [100_000_000, 100_000_000, 'by the header'],
      [limits.batchRawBytes, limits.batchRawBytes, 'by the header'],
      [800, 799, 'after it was unpacked'],
    ] as const
    for (const [declared, unpacked, where] of bombs)
      assert.throws(
        () => decodeBatch(bomb(declared, unpacked)),
        (error: unknown) => {
          assert.ok(error instanceof DamagedError)
          const cause = error.cause as NodeJS.ErrnoException | undefined
          assert.equal(cause?.code === 'ERR_BUFFER_TOO_LARGE', where === 'while it is unpacked')
          return true
        },
      )
  })
})
