// One session with the host: the WebSocket, frames in and out, jobs handed to the runtime.
import { WIRE, FRAME } from './schema.js';
import { findAdapter } from './adapter.js';
import { Runtime, JobError } from './runtime.js';
import { bench } from './bench.js';
import { findContext, Webnn } from './webnn.js';

const encoder = new TextEncoder(), decoder = new TextDecoder();

export function parseFrame(buffer) {
  const v = new DataView(buffer);
  if (buffer.byteLength < WIRE.header_bytes || v.getUint32(0, true) !== WIRE.magic) throw new Error('a message of the host has no frame header');
  const meta = v.getUint32(20, true), body = Number(v.getBigUint64(24, true));
  if (WIRE.header_bytes + meta + body !== buffer.byteLength) throw new Error('a message of the host has the wrong length');
  const text = decoder.decode(new Uint8Array(buffer, WIRE.header_bytes, meta));
  return { type: v.getUint16(4, true), job: v.getBigUint64(8, true), meta: meta ? JSON.parse(text) : {}, body: new Uint8Array(buffer, WIRE.header_bytes + meta, body) };
}

export function buildFrame(type, job, meta, parts = []) {
  const text = encoder.encode(JSON.stringify(meta));
  const body = parts.reduce((n, p) => n + p.byteLength, 0);
  const out = new Uint8Array(WIRE.header_bytes + text.length + body), v = new DataView(out.buffer);
  v.setUint32(0, WIRE.magic, true);
  v.setUint16(4, type, true);
  v.setBigUint64(8, job, true);
  v.setUint32(20, text.length, true);
  v.setBigUint64(24, BigInt(body), true);
  out.set(text, WIRE.header_bytes);
  let at = WIRE.header_bytes + text.length;
  for (const p of parts) {
    out.set(p, at);
    at += p.byteLength;
  }
  return out;
}

export class Session {
  // webnn: the device type that a WebNN context is asked for, '' for none.
  constructor({ token, url, opened, webnn, worker, say }) {
    Object.assign(this, { token, url, opened, webnn, worker, say });
    this.jobs = new Map(); // id -> {cancelled}
  }

  async open() {
    const adapter = await findAdapter();
    const { context, hello: webnn } = await findContext(this.webnn);
    this.runtime = adapter.device || context ? new Runtime(adapter, context && new Webnn(context), this) : null;
    this.socket = new WebSocket(this.url);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = () => this.end('the program that opened this page has ended');
    this.socket.onopen = () => {
      const hello = { token: this.token, wire: WIRE.version, worker: this.worker, isolated: Boolean(self.crossOriginIsolated),
        user_agent: navigator.userAgent, brands: navigator.userAgentData ? navigator.userAgentData.brands : [],
        threads: navigator.hardwareConcurrency || 0,
        opened_ms: performance.timeOrigin + performance.now() - this.opened, ...adapter.hello, ...webnn };
      this.send(FRAME.HELLO, 0n, hello);
      this.token = '';
      this.say(this.runtime ? 'ready' : `no GPU: ${adapter.hello.error}`);
    };
    if (context) context.lost.then(({ message }) => {
      this.send(FRAME.DEVICE_LOST, 0n, { reason: 'webnn', message: String(message).slice(0, 400) });
      this.say('the WebNN context was lost');
    });
    if (adapter.device) adapter.device.lost.then(({ reason, message }) => {
      this.send(FRAME.DEVICE_LOST, 0n, { reason: String(reason), message: String(message).slice(0, 400) });
      this.say('the GPU device was lost');
    });
  }

  send(type, job, meta, parts) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(buildFrame(type, job, meta, parts));
  }

  end(text) {
    for (const job of this.jobs.values()) job.cancelled = true;
    if (this.runtime) this.runtime.destroy();
    this.runtime = null;
    this.say(text);
  }

  receive(data) {
    const f = parseFrame(data);
    switch (f.type) {
      case FRAME.WELCOME: this.weightsToken = f.meta.weights_token; break;
      case FRAME.PING: this.send(FRAME.PONG, f.job, {}); break;
      case FRAME.CANCEL: if (this.jobs.has(f.job)) this.jobs.get(f.job).cancelled = true; break;
      case FRAME.BYE: this.socket.close(1000); break;
      case FRAME.LOAD: this.work(f, FRAME.LOADED, job => this.runtime.load(f.meta, job)); break;
      case FRAME.RUN: this.work(f, FRAME.RESULT, job => this.runtime.run(f.meta, f.body, job)); break;
      case FRAME.UNLOAD: this.work(f, FRAME.UNLOADED, () => this.runtime.unload(f.meta)); break;
      case FRAME.BENCH: this.work(f, FRAME.BENCHED, job => bench(this.runtime, f.meta, job)); break;
      default: this.send(FRAME.LOG, 0n, { text: `unknown frame ${f.type}` });
    }
  }

  // Runs a job and answers it: with its reply, or with ERROR.
  async work(f, reply, action) {
    const job = { id: f.job, cancelled: false, progress: p => this.send(FRAME.PROGRESS, f.job, p), weightsToken: this.weightsToken };
    this.jobs.set(f.job, job);
    try {
      if (!this.runtime) throw new JobError('ADAPTER', 'the page has no GPU device');
      if (reply === FRAME.BENCHED && !this.runtime.device) throw new JobError('ADAPTER', 'the page has no GPU device to measure');
      const { meta, parts } = await action(job);
      this.send(reply, f.job, meta, parts);
    } catch (e) {
      const lost = this.runtime && this.runtime.lost;
      this.send(FRAME.ERROR, f.job, { status: lost ? 'DEVICE_LOST' : e.status || 'INTERNAL', message: String(e.message || e).slice(0, 900), label: e.label || '' });
    } finally {
      this.jobs.delete(f.job);
    }
  }
}
