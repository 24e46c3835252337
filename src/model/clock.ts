/** Time as a parameter, so that the simulator owns it. */
export interface Clock {
  /** Wall time, integer µs since the epoch. */
  nowUs(): number
  /** Monotonic time, ms, from an arbitrary start. */
  monotonicMs(): number
  /** Calls once after `ms`. The timer never keeps the process alive by itself. */
  setTimer(callback: () => void, ms: number): Timer
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, options?: { signal?: AbortSignal }): Promise<void>
}

export interface Timer {
  cancel(): void
}

/** Randomness as a parameter: keys, actors, tokens and jitter come from here. */
export interface Random {
  bytes(length: number): Uint8Array
  /** Uniform in [0, 1). */
  uniform(): number
}
