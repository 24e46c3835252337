/**
 * Frames of the control socket: a 32-bit big-endian length and CBOR (RFC 8949). Integers stay apart from floats: a
 * bigint travels under tag 65000 as text, −0 as a float; every other number comes back the number it was.
 */
import { decode, encode, Token, Type, type EncodeOptions } from 'cborg'
import { InvalidInputError, LimitError } from '../../model/index.ts'

/** What a client sends. */
export type ClientMessage =
  | { readonly id: number; readonly operation: string; readonly input: unknown }
  /** The client has taken this many chunks of a stream and has room for as many more. */
  | { readonly id: number; readonly credit: number }
  | { readonly id: number; readonly cancel: true }

/** What the node answers. A call ends with `output` or `error`, a stream with `end` or `error`. */
export type ServerMessage =
  | { readonly id: number; readonly output: unknown }
  | { readonly id: number; readonly items: readonly WireItem[] }
  | { readonly id: number; readonly end: true }
  | { readonly id: number; readonly error: WireError }

/** An item of a stream: JSON text where that says exactly the same, which costs a tenth; else CBOR bytes. */
export type WireItem = string | Uint8Array

/** An error as it travels: its class by `code`, so that the exit code stays right. */
export interface WireError {
  readonly code?: string
  readonly message: string
  /** What was behind it, for people. */
  readonly cause?: string
}

export const wireLimits = {
  /** Bytes of one frame: a chunk of records or a batch of readings with room to spare. */
  frameBytes: 33_554_432,
  /** Bytes and items that a stream's chunk collects before it is sent. */
  chunkBytes: 262_144,
  chunkItems: 256,
  /** Chunks that may be under way before the client has taken one. */
  windowChunks: 8,
  /** Requests of one connection at a time: the CLI uses a few. */
  requests: 64,
  /** Characters of a socket path that every system takes (sun_path has 104 bytes on some). */
  pathBytes: 100,
} as const

const bigintTag = 65_000

const encodeOptions: EncodeOptions = {
  ignoreUndefinedProperties: true,
  // Keys stay in their order: what is printed is the same whether it came through the socket or not.
  mapSorter: () => 0,
  typeEncoders: {
    bigint: (value: bigint) => [new Token(Type.tag, bigintTag), new Token(Type.string, value.toString())],
    number: (value: number) => (Object.is(value, -0) ? new Token(Type.float, -0) : null),
  },
}

export function encodeValue(value: unknown): Uint8Array {
  return encode(value, encodeOptions)
}

export function encodeItem(item: unknown): WireItem {
  return isPlainJson(item) ? JSON.stringify(item) : encodeValue(item)
}

export function decodeItem(item: WireItem): unknown {
  return typeof item === 'string' ? JSON.parse(item) : decodeValue(item)
}

/** Whether `JSON.parse(JSON.stringify(value))` gives the same value: no −0, no NaN, no bigint, no bytes, no gaps in arrays. */
function isPlainJson(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
    case 'object': {
      if (value === null) return true
      if (Array.isArray(value)) return value.every(isPlainJson)
      const prototype: unknown = Object.getPrototypeOf(value)
      if (prototype !== Object.prototype && prototype !== null) return false
      // A property that is undefined travels neither way.
      return Object.values(value).every((each) => each === undefined || isPlainJson(each))
    }
    default:
      return false
  }
}

export function decodeValue(bytes: Uint8Array): unknown {
  return decode(bytes, {
    tags: { [bigintTag]: (content) => BigInt(content() as string) },
    rejectDuplicateMapKeys: true,
  })
}

export function encodeFrame(message: ClientMessage | ServerMessage): Uint8Array {
  const body = encodeValue(message)
  if (body.length > wireLimits.frameBytes)
    throw new LimitError(
      `a message of ${body.length} bytes does not fit the control socket (${wireLimits.frameBytes}); ask for less at once`,
    )
  const frame = Buffer.allocUnsafe(4 + body.length)
  frame.writeUInt32BE(body.length)
  frame.set(body, 4)
  return frame
}

/** Cuts a byte stream into decoded frames. Throws on a frame that is too long or no CBOR map with an id. */
export async function* readFrames(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Record<string, unknown>> {
  let waiting: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of chunks) {
    waiting.push(chunk)
    bytes += chunk.length
    if (bytes < 4) continue
    let buffer: Buffer | undefined
    let length = firstLength(waiting)
    while (bytes >= 4 + length) {
      buffer ??= Buffer.concat(waiting)
      yield checkMessage(buffer.subarray(4, 4 + length))
      buffer = buffer.subarray(4 + length)
      bytes = buffer.length
      if (bytes < 4) break
      length = frameLength(buffer)
    }
    if (buffer !== undefined) waiting = bytes === 0 ? [] : [buffer]
  }
  if (bytes > 0) throw new InvalidInputError('the control connection ended within a message')
}

function firstLength(chunks: readonly Uint8Array[]): number {
  const first = chunks[0] as Uint8Array
  return frameLength(first.length >= 4 ? first : Buffer.concat(chunks))
}

function frameLength(bytes: Uint8Array): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  if (length > wireLimits.frameBytes) throw new LimitError(`a control message of ${length} bytes is too long`)
  return length
}

function checkMessage(bytes: Uint8Array): Record<string, unknown> {
  const message = decodeValue(bytes) as Record<string, unknown> | null
  if (typeof message !== 'object' || message === null || !Number.isSafeInteger(message['id']))
    throw new InvalidInputError('a control message is not a map with an id')
  return message
}
