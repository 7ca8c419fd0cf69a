// One session with the host: the WebSocket, frames in and out, jobs handed to the runtime.
import { WIRE, FRAME, WIRE_FLAG } from './schema.js';
import { findAdapter } from './adapter.js';
import { buildFrame, packResult, parseFrame, RESULT_ROOM } from './frame.js';
import { Runtime, JobError } from './runtime.js';
import { findContext, Webnn } from './webnn.js';

export class Session {
  // webnn: the device type that a WebNN context is asked for, '' for none. adapter: findAdapter's promise, if it was
  // asked for already.
  constructor({ token, url, opened, webnn, worker, say, adapter }) {
    Object.assign(this, { token, url, opened, webnn, worker, say, adapter });
    this.jobs = new Map(); // id -> {cancelled}
  }

  connect() {
    this.socket = new WebSocket(this.url);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = () => this.end('the program that opened this page has ended');
    return new Promise(r => { this.socket.onopen = r; });
  }

  async open() {
    const connected = this.connect();
    const [adapter, { context, hello: webnn }] = await Promise.all([this.adapter || findAdapter(), findContext(this.webnn)]);
    this.runtime = adapter.device || context ? new Runtime(adapter, context && new Webnn(context), this) : null;
    await connected;
    this.send(FRAME.HELLO, 0n, { token: this.token, wire: WIRE.version, worker: this.worker, isolated: Boolean(self.crossOriginIsolated),
      user_agent: navigator.userAgent, brands: navigator.userAgentData ? navigator.userAgentData.brands : [],
      threads: navigator.hardwareConcurrency || 0, opened_ms: performance.timeOrigin + performance.now() - this.opened, ...adapter.hello, ...webnn });
    this.token = '';
    this.say(this.runtime ? 'ready' : `no GPU: ${adapter.hello.error}`);
    if (context) context.lost.then(({ message }) => {
      this.send(FRAME.DEVICE_LOST, 0n, { reason: 'webnn', message: String(message).slice(0, 400) });
      this.say('the WebNN context was lost');
    });
    if (adapter.device) adapter.device.lost.then(({ reason, message }) => {
      this.send(FRAME.DEVICE_LOST, 0n, { reason: String(reason), message: String(message).slice(0, 400) });
      this.say('the GPU device was lost');
    });
  }

  send(type, job, meta) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(buildFrame(type, job, meta));
  }

  // A run's answer: `result` has room for the header and the packed meta before its bytes.
  sendResult(job, { meta, result }) {
    if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(meta.dispatch_us ? buildFrame(FRAME.RESULT, job, meta, result.subarray(RESULT_ROOM)) : packResult(result, FRAME.RESULT, job, meta));
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
      case FRAME.RUN: this.work(f, FRAME.RESULT, job => this.runtime.run(this.runtime.remembered(f.seq, f.flags & WIRE_FLAG.AGAIN ? null : f.meta), f.body, job)); break;
      case FRAME.UNLOAD: this.work(f, FRAME.UNLOADED, () => this.runtime.unload(f.meta)); break;
      case FRAME.BENCH: this.work(f, FRAME.BENCHED, async job => {
        const { bench } = await import('./bench.js'); // nobody else needs it
        return this.runtime.exclusive(() => bench(this.runtime, f.meta, job));
      }); break;
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
      const answer = await action(job);
      if (answer.result) this.sendResult(f.job, answer);
      else this.send(reply, f.job, answer.meta);
    } catch (e) {
      const lost = this.runtime && this.runtime.lost;
      this.send(FRAME.ERROR, f.job, { status: lost ? 'DEVICE_LOST' : e.status || 'INTERNAL', message: String(e.message || e).slice(0, 900), label: e.label || '' });
    } finally {
      this.jobs.delete(f.job);
    }
  }
}
