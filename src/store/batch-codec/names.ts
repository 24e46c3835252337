/**
 * Names in a batch: sensors, and the fields and units that are no words of `words.ts`. Their UTF-8 bytes are range-coded
 * with a model that already knows names, because 60 readings of two fields are hardly longer than the names they have.
 */
import { LimitError, limits } from '../../model/index.ts'
import { ByteReader, damaged, type ByteWriter } from './bytes.ts'
import { Model, RangeEncoder, type RangeDecoder } from './range-coder.ts'
import { fieldWords, unitWords } from './words.ts'

/** Names from which the model has learned. Part of format version 1, as `fieldWords` is. */
const samples =
  'greenhouse-1/air greenhouse-2/soil barn-3/stable farm/tank-1 site-1/room-2/sensor-12 building-a/floor-2/meeting-room ' +
  'plant/line-1/motor-4 pump-1 valve-2 mote-17 node-20 gateway-1/temp meter/electricity-1 meter/water inverter/string-3 ' +
  'solar/panel-10 weather/station-1 roof/wind kitchen/fridge living-room/climate bedroom cellar outdoor/north machine-5 ' +
  'compressor boiler-1/supply heating/return field-7/irrigation reservoir/level battery/cell-16 rack-3/server-14 river/gauge ' +
  'Sensor_1 Device01 TempSensor HUMIDITY PM2.5 NO2(GT) urn:dev:mac:0024befffe804ff1 00:1b:44:11:3a:b7 A1 B2 C3'

/** Observations that the learned probabilities stand for at most: names unlike the samples shall move them. */
const learnedWeight = 24
const row = 256

const learned = learn()
const model = new Model(4 * row)

/** Bytes of all names of a batch. */
const maxNameBytes: number = limits.batchBytes

/** Kind of the byte before: start or separator, small letter, digit, other. */
function kindOf(byte: number): number {
  if (byte >= 0x61 && byte <= 0x7a) return 1
  if (byte >= 0x30 && byte <= 0x39) return 2
  return (byte >= 0x41 && byte <= 0x5a) || byte >= 0x80 ? 3 : 0
}

function learn(): Model {
  const learning = new Model(4 * row)
  const nowhere = new RangeEncoder()
  for (const word of [...fieldWords, ...samples.split(' ')]) code(nowhere, learning, Buffer.from(word))
  for (let i = 0; i < learning.seen.length; i++) learning.seen[i] = Math.min(learnedWeight, learning.seen[i] as number)
  return learning
}

function code(coder: RangeEncoder, model: Model, name: Uint8Array): void {
  let before = 0
  for (const byte of name) {
    const tree = kindOf(before) * row
    let node = 1
    for (let at = 7; at >= 0; at--) {
      const bit = (byte >>> at) & 1
      coder.bit(model, tree + node, bit)
      node = 2 * node + bit
    }
    before = byte
  }
}

export class NameWriter {
  readonly #header: ByteWriter
  readonly #coder: RangeEncoder
  #bytes = 0

  constructor(header: ByteWriter, coder: RangeEncoder) {
    this.#header = header
    this.#coder = coder
    model.copy(learned)
  }

  sensors(names: readonly string[]): void {
    let before: Uint8Array = new Uint8Array(0)
    for (let i = 0; i < names.length; i++) {
      const name = Buffer.from(names[i] as string)
      let shared = 0
      while (shared < before.length && shared < name.length && before[shared] === name[shared]) shared++
      if (i > 0) this.#header.varint(shared)
      this.#header.varint(name.length - shared)
      this.#code(name.subarray(shared))
      before = name
    }
  }

  field(name: string): void {
    this.#word(name, fieldCodes)
  }

  unit(name: string | undefined): void {
    if (name === undefined) this.#header.u8(0)
    else this.#word(name, unitCodes)
  }

  /** A word's number from 0x80 on, or a length below 0x80. */
  #word(name: string, codes: ReadonlyMap<string, number>): void {
    const known = codes.get(name)
    if (known !== undefined) {
      this.#header.u8(known)
      return
    }
    const bytes = Buffer.from(name)
    this.#header.u8(bytes.length)
    this.#code(bytes)
  }

  #code(bytes: Uint8Array): void {
    this.#bytes += bytes.length
    if (this.#bytes > maxNameBytes)
      throw new LimitError(`the names in a batch have more than ${maxNameBytes} bytes; split it`)
    code(this.#coder, model, bytes)
  }
}

const fieldCodes = new Map(fieldWords.map((word, i) => [word, 0x80 + i]))
const unitCodes = new Map(unitWords.map((word, i) => [word, 0x80 + i]))

/** How a name stands in the header: a word, or the length of what the stream holds, behind bytes shared with the one before. */
export interface NameLength {
  readonly word: string | undefined
  readonly shared: number
  readonly length: number
}

/** Reads lengths from the header and keeps their sum within bounds; then the names from the stream. */
export class NameReader {
  readonly #header: ByteReader
  #bytes = 0
  #before: Uint8Array = new Uint8Array(0)

  constructor(header: ByteReader) {
    this.#header = header
  }

  sensorLength(isFirst: boolean): NameLength {
    const most = 4 * limits.sensorChars
    const shared = isFirst ? 0 : this.#header.count(most, 'shared bytes')
    return { word: undefined, shared, length: this.#add(this.#header.count(most, 'bytes of a sensor name')) }
  }

  fieldLength(): NameLength {
    return this.#wordLength(this.#header.u8(), fieldWords)
  }

  /** `undefined`: no unit. */
  unitLength(): NameLength | undefined {
    const code = this.#header.u8()
    return code === 0 ? undefined : this.#wordLength(code, unitWords)
  }

  #wordLength(code: number, words: readonly string[]): NameLength {
    if (code < 0x80) return { word: undefined, shared: 0, length: this.#add(code) }
    return { word: words[code - 0x80] ?? damaged(`unknown word ${code}`), shared: 0, length: 0 }
  }

  #add(length: number): number {
    this.#bytes += length
    if (this.#bytes > maxNameBytes) damaged('its names are too long')
    return length
  }

  /** To be called before the first `read`. */
  start(): void {
    model.copy(learned)
  }

  read(coder: RangeDecoder, { word, shared, length }: NameLength): string {
    if (word !== undefined) return word
    if (shared > this.#before.length) damaged('a name shares more bytes than there are')
    const name = Buffer.allocUnsafe(shared + length)
    name.set(this.#before.subarray(0, shared))
    let before = 0
    for (let i = 0; i < length; i++) {
      const tree = kindOf(before) * row
      let node = 1
      while (node < row) node = 2 * node + coder.bit(model, tree + node)
      before = name[shared + i] = node - row
    }
    this.#before = name
    return new ByteReader(name).text(name.length)
  }
}
