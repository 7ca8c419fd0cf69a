// Weights: the host's mapped files into GPU buffers. What lies together in a file comes in one long response that
// is read into buffers of our own, a block at a time: a request for every few MiB and an ArrayBuffer made for
// each cost four fifths of the rate. A weight whose bytes need a transform goes through the staging buffer, as
// many pieces a submit as fit.

export class JobError extends Error {
  constructor(status, message, label = '') {
    super(message);
    this.status = status;
    this.label = label;
  }
}

const BLOCK = 4 << 20, SPAN = 64 << 20, GAP = 64 << 10, LANES = 2;
const SLOT = 256, PARAM_BYTES = 32; // of a transform's parameters, in the PARAMS buffer

async function request(path, offset, length, job) {
  const r = await fetch(path, { headers: { Range: `bytes=${offset}-${offset + length - 1}`, Authorization: `Bearer ${job.weightsToken}` }, cache: 'no-store', redirect: 'error' });
  if (r.status !== 206) throw new JobError('IO', `the host answered ${r.status} for bytes ${offset} to ${offset + length} of ${path}`);
  return r;
}

const short = (got, offset, length, path) => new JobError('IO', `the host sent ${got} bytes of ${length} at ${offset} of ${path}`);

export async function fetchRange(path, offset, length, job) {
  let all = null;
  await stream(path, offset, length, job, bytes => { all = bytes; return bytes.length; }, { block: length, last: true });
  return all;
}

// A function that reads more into `buffer` from byte `from` on: {buffer, got}, got 0 at the end.
function filler(body) {
  try {
    const reader = body.getReader({ mode: 'byob' });
    return { cancel: () => reader.cancel(), read: async (buffer, from) => {
      const { done, value } = await reader.read(new Uint8Array(buffer, from));
      return { buffer: value ? value.buffer : buffer, got: done ? 0 : value.length };
    } };
  } catch (e) { // a browser without byte streams
    const reader = body.getReader();
    let rest = new Uint8Array(0);
    return { cancel: () => reader.cancel(), read: async (buffer, from) => {
      if (!rest.length) rest = (await reader.read()).value || rest;
      const got = Math.min(rest.length, buffer.byteLength - from);
      new Uint8Array(buffer, from).set(rest.subarray(0, got));
      rest = rest.subarray(got);
      return { buffer, got };
    } };
  }
}

// Hands the bytes [offset, offset + length) of path to take(bytes, at) in blocks of at most `block` bytes, the first
// once `ready` holds. It returns how many it used: the others come again at the start of the next block.
export async function stream(path, offset, length, job, take, { block = BLOCK, ready = null, last = false } = {}) {
  const from = filler((await request(path, offset, length, job)).body);
  let buffer = new ArrayBuffer(Math.min(block, length)), have = 0, at = offset, left = length;
  try {
    while (left) {
      const more = await from.read(buffer, have);
      if (!more.got) throw short(length - left, offset, length, path);
      if (job.cancelled) throw new JobError('CANCELLED', 'the job was cancelled');
      buffer = more.buffer;
      have += more.got;
      left -= more.got;
      if (left && have < buffer.byteLength) continue;
      await ready;
      const used = take(new Uint8Array(buffer, 0, have), at);
      if (last) return; // the bytes are the taker's
      new Uint8Array(buffer).copyWithin(0, used, have);
      have -= used;
      at += used;
    }
  } finally {
    if (left) from.cancel().catch(() => {});
  }
}

// Uploads that lie close together in one source: {source, offset, end, uploads}, each read in one request.
function spans(uploads) {
  const sorted = uploads.map(([source, offset, length, buffer, dst, transform]) => ({ source, offset, end: offset + length, buffer, dst, transform }))
    .sort((a, b) => (a.source < b.source ? -1 : a.source > b.source ? 1 : a.offset - b.offset));
  const list = [];
  for (const u of sorted) {
    const last = list[list.length - 1];
    if (last && last.source === u.source && u.offset >= last.end && u.offset - last.end <= GAP && u.end - last.offset <= SPAN) {
      last.uploads.push(u);
      last.end = u.end;
    } else list.push({ source: u.source, offset: u.offset, end: u.end, uploads: [u] });
  }
  return list;
}

// writeBuffer takes multiples of 4 bytes; the destination has room for the padding.
function padded(bytes) {
  if (bytes.length % 4 === 0) return bytes;
  const out = new Uint8Array((bytes.length + 3) & ~3);
  out.set(bytes);
  return out;
}

// Transforms: pieces gather in the staging buffer, and run in one submit once it or its parameters are full.
class Transforms {
  constructor(load) {
    this.load = load;
    this.staging = load.buffers[load.meta.staging];
    this.params = load.buffers[load.meta.params];
    this.slots = this.params ? Math.max(1, Math.floor(this.params.size / SLOT)) : 0;
    this.pieces = [];
    this.used = 0;
  }

  put(u, bytes, first) {
    const t = this.load.meta.transforms[u.transform], whole = t.unit % 4 ? t.unit * 4 : t.unit;
    this.bytes = this.bytes || new Uint8Array(this.staging.size);
    for (let at = 0; at < bytes.length;) {
      let room = this.staging.size - this.used;
      if (this.pieces.length === this.slots || room < Math.min(bytes.length - at, whole)) {
        this.flush();
        room = this.staging.size;
      }
      const n = bytes.length - at <= room ? bytes.length - at : Math.floor(room / whole) * whole;
      this.bytes.set(bytes.subarray(at, at + n), this.used);
      this.pieces.push({ u, t, offset: this.used, first: first + at / t.unit, count: n / t.unit });
      this.used = Math.min(this.used + n + 15 & ~15, this.staging.size);
      at += n;
    }
  }

  // In the queue's order: the pieces' bytes, their parameters, their dispatches. Nothing here waits.
  flush() {
    if (!this.pieces.length) return;
    const { device } = this.load.runtime, params = new Uint32Array((this.pieces.length - 1) * SLOT / 4 + PARAM_BYTES / 4);
    this.pieces.forEach(({ t, offset, first, count }, i) => params.set([t.rows, t.cols, t.ld, t.word, offset, first, count, t.extra], i * SLOT / 4));
    device.queue.writeBuffer(this.staging, 0, this.bytes, 0, this.used + 3 & ~3);
    device.queue.writeBuffer(this.params, 0, params);
    const e = device.createCommandEncoder(), pass = e.beginComputePass();
    this.pieces.forEach(({ u, t, count }, i) => {
      const pipeline = this.load.transformPipelines[t.pipeline], groups = Math.ceil(count * t.items / 64), x = Math.min(groups, 65535);
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [
        { binding: 0, resource: { buffer: this.staging } },
        { binding: 1, resource: { buffer: this.load.buffers[u.buffer], offset: t.bind_offset, size: t.bind_size } },
        { binding: 2, resource: { buffer: this.params, offset: i * SLOT, size: PARAM_BYTES } }] }));
      pass.dispatchWorkgroups(x, Math.ceil(groups / x));
    });
    pass.end();
    device.queue.submit([e.finish()]);
    this.pieces = [];
    this.used = 0;
  }
}

// Takes a span's blocks apart into its uploads.
function taker(load, span, transforms, advanced) {
  let next = 0;
  return (bytes, at) => {
    const stop = at + bytes.length;
    for (; next < span.uploads.length; next++) {
      const u = span.uploads[next], unit = u.transform < 0 ? 4 : load.meta.transforms[u.transform].unit;
      if (u.offset >= stop) break;
      const from = Math.max(u.offset, at), end = u.end <= stop ? u.end : stop - (stop - u.offset) % unit;
      if (end > from) {
        const part = bytes.subarray(from - at, end - at);
        if (u.transform < 0) load.runtime.device.queue.writeBuffer(load.buffers[u.buffer], u.dst + from - u.offset, padded(part));
        else transforms.put(u, part, (from - u.offset) / unit);
        advanced(part.length);
      }
      if (u.end > stop) return end - at;
    }
    return bytes.length;
  };
}

// ready: a promise of the transforms' pipelines, in load.transformPipelines.
export async function uploadWeights(load, job, ready, advanced) {
  const list = spans(load.meta.uploads), transforms = new Transforms(load);
  let next = 0, failed = null;
  const lane = async () => {
    while (next < list.length && !failed && !job.cancelled) {
      const s = list[next++];
      try {
        const unit = Math.max(...s.uploads.map(u => u.transform < 0 ? 4 : load.meta.transforms[u.transform].unit)); // a block has room for two
        await stream(`${load.meta.path}/${s.source}`, s.offset, s.end - s.offset, job, taker(load, s, transforms, advanced),
          { block: Math.max(BLOCK, 2 * unit), ready: s.uploads.some(u => u.transform >= 0) ? ready : null });
      } catch (e) {
        failed = failed || e;
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  if (failed) throw failed;
  transforms.flush();
}
