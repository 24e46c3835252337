export const catchup = async (): Promise<never> => { throw new Error('x') }
