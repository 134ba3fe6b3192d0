// How often something is tried, and waiting: with full jitter, with a deadline, until a signal.

export const kTries = 3;

/** A random time between 0 and min(100 ms * 2^attempt, 10 s). */
export const backoff = (attempt: number): number => Math.random() * Math.min(100 * 2 ** attempt, 10_000);

const reasonOf = (signal: AbortSignal): unknown => signal.reason ?? new DOMException('aborted', 'AbortError');

/** Ends early, with the signal's reason, when that is aborted. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(reasonOf(signal));
    const stop = (): void => {
      clearTimeout(timer);
      reject(reasonOf(signal!));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

// What setTimeout takes.
const kLongest = 2 ** 31 - 1;

/** `promise`, unless the deadline (Infinity: none) passes or the signal is aborted before. */
export function within<T>(promise: Promise<T>, limits: { deadline: number; signal?: AbortSignal | undefined; error: () => Error }): Promise<T> {
  const { deadline, signal, error } = limits;
  return new Promise<T>((resolve, reject) => {
    if (signal?.aborted) {
      promise.catch(() => {});
      return reject(reasonOf(signal));
    }
    const stop = (): void => done(() => reject(reasonOf(signal!)));
    const timer = deadline === Infinity ? undefined : setTimeout(() => done(() => reject(error())), Math.min(kLongest, Math.max(0, deadline - Date.now())));
    const done = (settle: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      settle();
    };
    signal?.addEventListener('abort', stop, { once: true });
    promise.then(
      (value) => done(() => resolve(value)),
      (failure: unknown) => done(() => reject(failure)),
    );
  });
}
