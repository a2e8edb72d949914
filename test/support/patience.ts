/** How long tests wait before they give up and say what came instead. */

/**
 * In seconds: half of what a test of the tier may take (vitest.config.ts), a minute outside of vitest. Long enough for a
 * machine that is busy with something else, and a limit of nothing that Berth promises.
 */
export const PATIENCE_SECONDS = Number(process.env.PATIENCE_SECONDS ?? 60);
