import type { TestContext } from 'node:test';
import { Publisher } from '../../src/credential/publisher.ts';
import { credentialAt, type Minted, MemorySink } from './fakes.ts';
import { World } from './keeping.ts';

/** From now on it waits there, as on a disk that hangs, until what this returns is called. */
export function holdUp(sink: MemorySink, step: 'write' | 'inspect'): () => void {
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const go = sink[step].bind(sink) as (...args: unknown[]) => Promise<never>;
  sink[step] = async (...args: unknown[]) => {
    await held;
    return await go(...args);
  };
  return release;
}

/** A publisher that runs, with a sink that counts the attempts to write it. */
export async function startPublisher(t: TestContext, { dice = 0 } = {}) {
  const world = new World();
  const { clock, recorder, ticker } = world;
  const sink = new MemorySink();
  const tries: number[] = [];
  const write = sink.write.bind(sink);
  sink.write = async (credential) => {
    tries.push(clock.monotonic());
    await write(credential);
  };
  const backoff = { initialMs: 1_000, maxMs: 60_000 };
  const { observer } = recorder;
  const publisher = new Publisher({
    credentialName: 'backstage',
    sink,
    ticker,
    backoff,
    random: () => dice,
    observer,
    refresh: { at: 0.5, jitter: 0.1, floorMs: 10_000 },
    minted: () => undefined,
    onFound: () => {},
  });
  await publisher.recover(new AbortController());
  world.run(t, publisher);
  await clock.idle();
  const publish = async (token: string, minted?: Minted, isNew = true) => {
    const credential = credentialAt(clock, token, minted);
    publisher.publish(credential, { isNew });
    await clock.idle();
    return credential;
  };
  /** Somebody else changes it, and the watch tells of that or does not. */
  const meddle = async (content: string | undefined, { isTold = true } = {}) => {
    sink.content = content;
    if (isTold) sink.onChange();
    await clock.idle();
  };
  const gaps = () => tries.slice(1).map((at, index) => at - tries[index]!);
  return { clock, recorder, sink, publisher, tries, gaps, publish, meddle };
}
