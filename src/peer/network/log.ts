/** Fixed messages with fields beside them. Never payloads or keys. */
export type NetworkLog = (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void
