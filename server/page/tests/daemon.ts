/** A real daemon with a real model on real media, for as long as a test needs it. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../../..');
export const PROGRAM = process.env['AVICUNA_BIN'] ?? join(ROOT, 'target/debug/avicuna');
export const SCENE = join(ROOT, 'assets/demo/scene.mp4');
const MODEL = process.env['AVICUNA_PAGE_MODEL'] ?? join(ROOT, 'assets/models/avicuna-small');
const HANG = 240_000;

const WATCHED = `
[[stream]]
id = "scene"
uri = ${JSON.stringify(SCENE)}
loop = true
realtime = true
recall = "15s"
`;
const FLEET = `
[fleet]
group = "page"
member = "one"
address = "http://one.example:9464"
partitions = 4
`;

export class Daemon {
  private constructor(
    readonly url: string,
    private readonly process: ChildProcess,
    private readonly folder: string,
  ) {}

  /** Somebody deletes all clips of a stream. */
  deleteClips(stream: string): void {
    rmSync(join(this.folder, 'clips', stream), { recursive: true });
  }

  /**
   * Starts one; `control` are more keys of `[control]`. It watches `scene`, which begins again at its end, or with `brokers` what a fleet
   * of its own is given.
   */
  static async start(control = '', brokers?: string): Promise<Daemon> {
    const folder = mkdtempSync(join(tmpdir(), 'avicuna-page-'));
    const log = join(folder, 'log');
    const text = `
daemon.exit_when_done = false
model.path = ${JSON.stringify(MODEL)}
outbox.path = ${JSON.stringify(join(folder, 'outbox.redb'))}
${brokers ? `sink.kafka.brokers = "${brokers}"` : `sink.kind = "jsonl"\nsink.jsonl.path = ${JSON.stringify(join(folder, 'out.jsonl'))}`}
log.format = "json"
[control]
listen = "127.0.0.1:0"
${control}
[clips]
store = ${JSON.stringify(join(folder, 'clips'))}
pre_roll = "2s"
post_roll = "2s"
[control.allow]
schemes = ["test"]
files = [${JSON.stringify(join(ROOT, 'assets/demo'))}]
${brokers ? FLEET : WATCHED}`;
    writeFileSync(join(folder, 'avicuna.toml'), text);
    const daemon = spawn(PROGRAM, ['run', '--config', join(folder, 'avicuna.toml')], {
      cwd: ROOT,
      stdio: ['ignore', 'ignore', openSync(log, 'a')],
    });
    const address = await until('the daemon listens', () => {
      if (daemon.exitCode !== null) throw new Error(`the daemon ended:\n${readFileSync(log, 'utf8')}`);
      const told = readFileSync(log, 'utf8').split('\n').find((line) => line.includes('probes and metrics are served'));
      return told?.match(/"address":"([^"]+)"/)?.[1];
    });
    return new Daemon(`http://${address}`, daemon, folder);
  }

  async call(method: string, path: string, body?: unknown): Promise<Response> {
    const init: RequestInit = { method };
    if (body !== undefined) {
      init.headers = { 'Content-Type': 'application/json' };
      init.body = JSON.stringify(body);
    }
    return fetch(this.url + path, init);
  }

  async get<T>(path: string): Promise<T> {
    return (await (await this.call('GET', path)).json()) as T;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGTERM');
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A Kafka broker on this machine; `stop` deletes it. */
export function broker(): { brokers: string; stop: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'avicuna-page-kafka-'));
  const kafka = (...words: string[]) => execFileSync(join(ROOT, 'scripts/kafka.sh'), [...words, '--dir', folder], { stdio: 'ignore' });
  // Below the ports that the system gives away.
  const port = 19_000 + (process.pid % 500) * 2;
  kafka('start', '--port', String(port), '--controller-port', String(port + 1));
  return { brokers: `127.0.0.1:${port}`, stop: () => kafka('wipe') };
}

/** A token file with one token, and the token. */
export function tokens(role: string): { file: string; token: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'avicuna-page-'));
  const file = join(folder, 'tokens');
  const script = `"$0" token tester --role "$1" >"$2" 2>"$2.err"`;
  execFileSync('sh', ['-c', script, PROGRAM, role, file], { cwd: ROOT });
  const token = readFileSync(`${file}.err`, 'utf8').match(/avs_\S+/)?.[0];
  if (!token) throw new Error(`avicuna token said nothing of a token: ${readFileSync(`${file}.err`, 'utf8')}`);
  return { file, token, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Waits for something that is there in the end. */
export async function until<T>(what: string, look: () => T | undefined | null | false | Promise<T | undefined | null | false>): Promise<T> {
  const end = Date.now() + HANG;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not in time`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
