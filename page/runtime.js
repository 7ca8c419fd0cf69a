// Replays plans: every buffer, pipeline and bind group is made at load; a run writes its inputs,
// encodes a flat list of dispatches, submits (once, while it is short), and reads its outputs back.
import { BUFFER_KIND, WIRE } from './schema.js';
import { RESULT_ROOM } from './frame.js';
import { settle } from './settle.js';
import { Stopwatch } from './stopwatch.js';
import { JobError, fetchRange, uploadWeights } from './upload.js';

export { JobError };

// Predicted GPU time over which a run is cut into several submits, and the time aimed at for each.
const CUT_MS = 100, SLICE_MS = 50;
// Dispatches of the first submit on hardware, of the next twice as many, and so on: the GPU works while the browser
// records the others, 3 us each (an H200, 45 dispatches: 0.13 ms sooner than in one submit). A software adapter runs
// on the CPU that records.
const LEAD = 5;
const PROFILE_MAX = 2048; // dispatches in one query set of 4096

const cancelled = () => new JobError('CANCELLED', 'the job was cancelled');

function usageOf(kind) {
  const U = GPUBufferUsage;
  switch (kind) {
    case BUFFER_KIND.PARAMS: return U.UNIFORM | U.COPY_DST;
    case BUFFER_KIND.STAGING: return U.STORAGE | U.COPY_DST;
    case BUFFER_KIND.READBACK: return U.MAP_READ | U.COPY_DST;
    case BUFFER_KIND.WEIGHTS: case BUFFER_KIND.CONST: return U.STORAGE | U.COPY_DST | U.COPY_SRC;
    default: return U.STORAGE | U.COPY_DST | U.COPY_SRC | U.INDIRECT;
  }
}

export class Runtime {
  // device, nn: WebGPU's and WebNN's, either may be null.
  constructor({ device, hello }, nn, session) {
    this.device = device;
    this.software = Boolean(hello && hello.adapter && hello.adapter.software);
    this.nn = nn;
    this.session = session;
    this.loads = new Map();
    this.memories = new Map(); // the host's number -> {buffer, refs}: loads of one model share weights
    this.runs = new Map(); // what RUN frames said, by seq
    this.lost = false;
    this.bytes = 0; // of buffers
    this.errors = []; // uncaptured, since no run was in flight
    this.inFlight = 0;
    this.busy = Promise.resolve(); // ends when nobody encodes or loads
    this.reading = Promise.resolve(); // ends when the runs before are done
    this.doneAt = 0;
    this.layouts = new Map();
    this.pipelines = new Map();
    if (nn) nn.context.lost.then(() => { this.lost = true; });
    this.timestamps = Boolean(device) && device.features.has('timestamp-query');
    if (!device) return;
    device.lost.then(() => { this.lost = true; });
    device.addEventListener('uncapturederror', ({ error }) => {
      if (this.errors.length < 8) this.errors.push(error.message);
    });
  }

  destroy() {
    for (const load of this.loads.values()) this.free(load);
    this.loads.clear();
    if (this.device) this.device.destroy();
    if (this.nn) this.nn.destroy();
  }

  // The only way a plan's buffers come to be: their sizes are the bytes that are reported.
  buffer(size, usage, label) {
    const b = this.device.createBuffer({ size, usage, label });
    this.bytes += size;
    return b;
  }

  // A buffer of a plan: made, or another load's.
  memory({ id, size, kind, usage, label }) {
    if (size !== undefined) this.memories.set(id, { buffer: this.buffer(size, usage || usageOf(kind), label), refs: 0 });
    const m = this.memories.get(id);
    if (!m) throw new JobError('INTERNAL', `buffer ${id} is not there`);
    m.refs++;
    return m.buffer;
  }

  free(load) {
    if (load.meta.webnn && this.nn) this.nn.free(load);
    load.meta.buffers.forEach((b, i) => {
      const m = b && b.id !== undefined && load.buffers[i] && this.memories.get(b.id);
      if (!m || --m.refs) return;
      this.memories.delete(b.id);
      this.bytes -= m.buffer.size;
      m.buffer.destroy();
    });
    for (const lane of load.lanes.slice(1)) for (const b of lane.values()) {
      this.bytes -= b.size;
      b.destroy();
    }
    if (load.querySet) load.querySet.destroy();
    this.bytes -= load.bytes;
    for (const [seq, meta] of this.runs) if (meta.handle === load.meta.handle) this.runs.delete(seq);
    if (this.loads.size === 0) this.pipelines.clear();
  }

  // What a RUN frame says; seq 0 is not kept. given is null for one that repeats.
  remembered(seq, given) {
    const meta = given || this.runs.get(seq);
    if (!meta) throw new JobError('PROTOCOL', `no run ${seq} is known`);
    if (given && seq) this.runs.set(seq, given);
    return meta;
  }

  // One at a time, in the order asked for: error scopes nest, and a run's commands stay together.
  async exclusive(action) {
    const before = this.busy;
    let free;
    this.busy = new Promise(r => { free = r; });
    await before;
    try {
      return await action();
    } finally {
      free();
    }
  }

  // An explicit layout for storage bindings 0..n-1 and the params uniform: shaders need not use all.
  layout(bindings, writeMask, params) {
    const key = `${bindings},${writeMask},${params}`;
    if (!this.layouts.has(key)) {
      const entries = [];
      for (let i = 0; i < bindings; i++)
        entries.push({ binding: i, visibility: GPUShaderStage.COMPUTE, buffer: { type: writeMask >> i & 1 ? 'storage' : 'read-only-storage' } });
      if (params) entries.push({ binding: bindings, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform' } });
      const group = this.device.createBindGroupLayout({ entries });
      this.layouts.set(key, { key, group, pipeline: this.device.createPipelineLayout({ bindGroupLayouts: [group] }) });
    }
    return this.layouts.get(key);
  }

  // Pipelines of one text and layout are made once, whichever load asks.
  pipeline(code, label, layout) {
    const key = `${layout.key}|${code}`;
    if (!this.pipelines.has(key)) {
      const module = this.device.createShaderModule({ code });
      const made = this.device.createComputePipelineAsync({ label, layout: layout.pipeline, compute: { module, entryPoint: 'main' } });
      this.pipelines.set(key, made.catch(async e => {
        this.pipelines.delete(key);
        const info = await module.getCompilationInfo().catch(() => ({ messages: [] }));
        const first = info.messages.find(m => m.type === 'error');
        throw new JobError('INTERNAL', `pipeline of ${label}: ${first ? `line ${first.lineNum}: ${first.message}` : e.message}`, label);
      }));
    }
    return this.pipelines.get(key);
  }

  async compile(load, p) {
    const pipeline = await this.pipeline(load.meta.shaders[p.shader], p.label, this.layout(p.bindings, p.write_mask, p.params));
    load.advance(0, 1);
    return pipeline;
  }

  progress(load, job) {
    const { meta } = load;
    const bytes = list => list.reduce((n, u) => n + u[2], 0), graphs = meta.segments.filter(s => s && s.webnn && s.count).length;
    const total = bytes(meta.uploads) + (meta.webnn ? bytes(meta.webnn.uploads) : 0), pipelines = meta.pipelines.length + meta.transform_pipelines.length + graphs;
    let done = 0, compiled = 0, told = 0;
    return (bytes, count) => {
      done += bytes;
      compiled += count;
      const now = performance.now();
      if (now - told < 100 && !(done === total && compiled === pipelines)) return;
      told = now;
      job.progress({ bytes_done: done, bytes_total: total, pipelines_done: compiled, pipelines_total: pipelines });
    };
  }

  async makeBuffers(load) {
    this.device.pushErrorScope('out-of-memory');
    this.device.pushErrorScope('validation');
    load.buffers = load.meta.buffers.map(b => b && b.webnn === undefined && this.memory(b));
    // A run in flight reads back through buffers of its own: lane 0 has the plan's.
    for (let k = 0; k < load.meta.lanes; k++)
      load.lanes.push(new Map(load.meta.buffers.map((b, i) => [i, b, k]).filter(([, b]) => b && b.kind === BUFFER_KIND.READBACK && b.id !== undefined)
        .map(([i, b]) => [i, k ? this.buffer(b.size, usageOf(b.kind), b.label) : load.buffers[i]])));
    load.idle = [...load.lanes];
    if (load.meta.query) load.querySet = this.device.createQuerySet({ type: 'timestamp', count: load.meta.query.count });
    const invalid = await this.device.popErrorScope(), memory = await this.device.popErrorScope();
    if (memory) throw new JobError('NO_MEMORY', `the GPU has no room for ${this.bytes} bytes: ${memory.message}`);
    if (invalid) throw new JobError('INTERNAL', `buffers: ${invalid.message}`);
  }

  bindAll(load) {
    const { meta, buffers } = load, made = new Map();
    load.dispatches = meta.dispatches.map(d => {
      const p = meta.pipelines[d.p], key = JSON.stringify([d.p, d.b, d.u]);
      if (!made.has(key)) {
        const entries = d.b.map(([buffer, offset, size], binding) => ({ binding, resource: { buffer: buffers[buffer], offset, size } }));
        if (p.params) entries.push({ binding: p.bindings, resource: { buffer: buffers[meta.params], offset: d.u[0], size: d.u[1] } });
        made.set(key, this.device.createBindGroup({ label: d.l, layout: this.layout(p.bindings, p.write_mask, p.params).group, entries }));
      }
      return { pipeline: null, group: made.get(key), grid: d.g, indirect: d.i && [buffers[d.i[0]], d.i[1]], label: d.l, ns: d.ns };
    });
  }

  load(meta, job) {
    return this.exclusive(() => this.loadNow(meta, job));
  }

  async loadNow(meta, job) {
    const load = { meta, runtime: this, bytes: 0, buffers: [], lanes: [], waiting: [], times: {}, checked: new Set(), scale: new Map() };
    const start = performance.now();
    this.errors.length = 0;
    try {
      load.advance = this.progress(load, job);
      if (this.device) await this.loadGpu(load, job);
      else load.buffers = meta.buffers.map(() => null);
      if (meta.webnn) {
        if (!this.nn) throw new JobError('ADAPTER', 'the page has no WebNN context');
        await this.nn.makeBuffers(load);
        await this.nn.build(load, job);
      }
    } catch (e) {
      this.free(load);
      throw e;
    }
    this.loads.set(meta.handle, load);
    return { meta: { handle: meta.handle, bytes: this.bytes, load_ms: performance.now() - start, ...load.times } };
  }

  // Everything that takes time is begun at once: buffers, pipelines, weights.
  async loadGpu(load, job) {
    const { meta } = load, start = performance.now(), since = () => performance.now() - start;
    const made = this.makeBuffers(load);
    const compileAll = list => Promise.all(list.map(p => this.compile(load, p)));
    const transforms = compileAll(meta.transform_pipelines).then(list => { load.transformPipelines = list; });
    const bindPipelines = list => load.dispatches.forEach((d, i) => { d.pipeline = list[meta.dispatches[i].p]; });
    const compiled = meta.lazy ? Promise.resolve(null) : compileAll(meta.pipelines).then(list => { load.times.pipelines_ms = since(); return list; });
    const late = Promise.all(meta.late.map(([source, offset, length]) => fetchRange(`${meta.path}/${source}`, offset, length, job)));
    for (const p of [made, transforms, compiled, late]) p.catch(() => {});
    this.device.pushErrorScope('validation');
    this.bindAll(load);
    const bound = this.device.popErrorScope();
    this.device.pushErrorScope('validation');
    const failed = await uploadWeights(load, job, transforms, n => load.advance(n, 0)).then(() => null, e => e);
    const checked = this.device.popErrorScope();
    await made; // what it says explains the others
    if (failed) throw failed;
    const invalid = await checked, unbound = await bound;
    if (job.cancelled) throw cancelled();
    if (invalid) throw new JobError('INTERNAL', `weights: ${invalid.message}`);
    if (unbound) throw new JobError('INTERNAL', `bind groups: ${unbound.message}`);
    // The transforms borrow the parameters' buffer, so its own contents come last.
    (await late).forEach((bytes, i) => this.device.queue.writeBuffer(load.buffers[meta.late[i][3]], meta.late[i][4], bytes));
    load.times.weights_ms = since();
    const pipelines = await compiled;
    if (pipelines) bindPipelines(pipelines);
    else load.compileLater = () => {
      load.advance = () => {}; // the load's job has ended
      return compileAll(meta.pipelines).then(bindPipelines);
    };
    if (job.cancelled) throw cancelled();
    if (this.errors.length) throw new JobError('INTERNAL', this.errors[0]);
  }

  unload({ handle }) {
    const load = this.loads.get(handle);
    if (!load) throw new JobError('NOT_FOUND', `no plan ${handle} is loaded`);
    this.loads.delete(handle);
    this.free(load);
    return { meta: { bytes: this.bytes } };
  }

  // Lists of dispatch indices, one list a submit.
  cut(load, first, count, predicted) {
    if (predicted <= CUT_MS || count <= 1) return [[first, count]];
    const known = load.dispatches.slice(first, first + count).reduce((n, d) => n + d.ns, 0), out = [];
    let start = first, ms = 0;
    for (let i = first; i < first + count; i++) {
      ms += known > 0 ? predicted * load.dispatches[i].ns / known : predicted / count;
      if (ms >= SLICE_MS || i === first + count - 1) {
        out.push([start, i - start + 1]);
        start = i + 1;
        ms = 0;
      }
    }
    return out;
  }

  encode(load, encoder, [first, count], writes) {
    const pass = encoder.beginComputePass(writes ? { timestampWrites: writes } : undefined);
    let last = null;
    for (let i = first; i < first + count; i++) {
      const d = load.dispatches[i];
      if (d.pipeline !== last) pass.setPipeline(last = d.pipeline);
      pass.setBindGroup(0, d.group);
      if (d.indirect) pass.dispatchWorkgroupsIndirect(d.indirect[0], d.indirect[1]);
      else pass.dispatchWorkgroups(d.grid[0], d.grid[1], d.grid[2]);
    }
    pass.end();
  }

  // The parts of one run: [{range, end}], `end` with the last of all.
  plan(load, meta) {
    const list = [];
    for (let s = meta.segments[0]; s < meta.segments[0] + meta.segments[1]; s++) {
      const seg = load.meta.segments[s];
      if (!seg || seg.webnn || seg.count === 0) continue;
      if (meta.profile) for (let i = 0; i < seg.count; i++) list.push([seg.first + i, 1]);
      else list.push(...this.cut(load, seg.first, seg.count, load.scale.get(s) || seg.predicted_ns / 1e6));
    }
    return list;
  }

  // Profiles are taken with the clock up.
  async stopwatch() {
    if (!this.watch) this.watch = await Stopwatch.create(this.device, this.software);
    return this.watch;
  }

  // One submit where the parts allow it: profiling keeps a pass a part in one encoder.
  async submitAll(load, meta, job, parts, query, lane) {
    const { device } = this;
    let submits = 0, before = null;
    const last = encoder => {
      for (const [buffer, offset, length, staging, at] of meta.reads)
        encoder.copyBufferToBuffer(load.buffers[buffer], offset, lane.get(staging), at, (length + 3) & ~3);
      if (query) {
        encoder.resolveQuerySet(query.set, 0, query.count, query.resolve, 0);
        encoder.copyBufferToBuffer(query.resolve, 0, query.readback, 0, query.count * 8);
      }
    };
    let encoder = device.createCommandEncoder();
    if (meta.profile && query) (await this.stopwatch()).warmUp(encoder);
    for (let i = 0; i < parts.length; i++) {
      let part = parts[i], stamps = query && (meta.profile || query.count === 2) && this.stamps(query, meta, i, parts.length);
      for (let n = LEAD; i === 0 && !meta.profile && !this.software && part[1] > 2 * n; n *= 2) {
        this.encode(load, encoder, [part[0], n], stamps && n === LEAD ? { querySet: query.set, beginningOfPassWriteIndex: 0 } : null);
        device.queue.submit([encoder.finish()]);
        submits++;
        encoder = device.createCommandEncoder();
        part = [part[0] + n, part[1] - n];
        if (n === LEAD) stamps = stamps && parts.length === 1 ? { querySet: query.set, endOfPassWriteIndex: 1 } : null;
      }
      this.encode(load, encoder, part, stamps || null);
      if (meta.profile || i === parts.length - 1) continue;
      device.queue.submit([encoder.finish()]);
      submits++;
      if (before && !await settle(device, before, SLICE_MS, () => job.cancelled)) throw cancelled();
      if (job.cancelled) throw cancelled();
      before = device.queue.onSubmittedWorkDone();
      encoder = device.createCommandEncoder();
    }
    last(encoder);
    device.queue.submit([encoder.finish()]);
    return submits + 1;
  }

  stamps(query, meta, i, count) {
    if (meta.profile) return { querySet: query.set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
    const w = { querySet: query.set };
    if (i === 0) w.beginningOfPassWriteIndex = 0;
    if (i === count - 1) w.endOfPassWriteIndex = 1;
    return i === 0 || i === count - 1 ? w : null;
  }

  // The plan's own query buffers; profiling makes larger ones for its run.
  queries(load, meta, parts, lane) {
    if (!this.timestamps || parts.length === 0) return null;
    if (meta.profile) {
      if (parts.length > PROFILE_MAX) throw new JobError('LIMIT', `${parts.length} dispatches: profiling measures at most ${PROFILE_MAX}`);
      const count = parts.length * 2, U = GPUBufferUsage;
      return { count, temporary: true, set: this.device.createQuerySet({ type: 'timestamp', count }),
        resolve: this.device.createBuffer({ size: count * 8, usage: U.QUERY_RESOLVE | U.COPY_SRC }),
        readback: this.device.createBuffer({ size: count * 8, usage: U.MAP_READ | U.COPY_DST }) };
    }
    const q = load.meta.query;
    return q ? { count: 2, set: load.querySet, resolve: load.buffers[q.resolve], readback: lane.get(q.readback) } : null;
  }

  // {result, times}: the bytes asked for, after room for a frame's header.
  async readBack(meta, job, predicted, query, lane) {
    const ranges = new Map(); // staging buffer -> end
    let bytes = 0;
    for (const [, , length, staging, at] of meta.reads) {
      ranges.set(staging, Math.max(ranges.get(staging) || 0, at + ((length + 3) & ~3)));
      bytes += length;
    }
    const mapped = [...ranges].map(([b, end]) => lane.get(b).mapAsync(GPUMapMode.READ, 0, end));
    if (query) mapped.push(query.readback.mapAsync(GPUMapMode.READ, 0, query.count * 8));
    const all = mapped.length ? Promise.all(mapped) : this.device.queue.onSubmittedWorkDone();
    all.catch(() => {});
    const before = this.reading;
    let done;
    this.reading = new Promise(r => { done = r; });
    try {
      await before; // the queue is in order, so this run cannot be done sooner
      if (!await settle(this.device, all, predicted, () => job.cancelled)) throw cancelled();
      done();
      const views = new Map([...ranges].map(([b, end]) => [b, new Uint8Array(lane.get(b).getMappedRange(0, end))]));
      const result = new Uint8Array(RESULT_ROOM + bytes);
      let to = RESULT_ROOM;
      for (const [, , length, staging, at] of meta.reads) {
        result.set(views.get(staging).subarray(at, at + length), to);
        to += length;
      }
      return { result, times: query ? new BigUint64Array(query.readback.getMappedRange(0, query.count * 8).slice(0)) : null };
    } finally {
      done();
      for (const b of ranges.keys()) lane.get(b).unmap();
      if (query && !query.temporary) query.readback.unmap();
    }
  }

  // After a validation error in a run: which dispatch it is.
  async blame(load, parts, message) {
    for (const [first, count] of parts) for (let i = first; i < first + count; i++) {
      this.device.pushErrorScope('validation');
      const encoder = this.device.createCommandEncoder();
      this.encode(load, encoder, [i, 1], null);
      this.device.queue.submit([encoder.finish()]);
      const e = await this.device.popErrorScope();
      if (e) return new JobError('INTERNAL', `${load.dispatches[i].label}: ${e.message}`, load.dispatches[i].label);
    }
    return new JobError('INTERNAL', message);
  }

  // Both memories in one job: what they exchange went through the host before, so either may go first.
  async run(meta, body, job) {
    const load = this.loads.get(meta.handle);
    if (!load) throw new JobError('NOT_FOUND', `no plan ${meta.handle} is loaded`);
    let at = 0;
    // Long ones are on their way from now on; a run that waits for them keeps its place.
    const writes = meta.writes.map(([buffer, offset, length], i) => [buffer, offset,
      length > WIRE.inline_bytes_max ? fetchRange(`${load.meta.path}/b${job.id}.${i}`, 0, length, job) : body.subarray(at, at += length)]);
    for (const w of writes) if (w[2].catch) w[2].catch(() => {});
    if (!load.meta.webnn) return this.runGpu(load, meta, writes, job);
    for (const w of writes) w[2] = await w[2];
    const ours = ([buffer]) => load.meta.buffers[buffer].webnn !== undefined, start = performance.now();
    for (const [buffer, , bytes] of writes.filter(ours)) this.nn.write(load.buffers[buffer], bytes);
    const graphs = this.nn.dispatch(load, ...meta.segments);
    const result = new Uint8Array(RESULT_ROOM + meta.reads.reduce((n, r) => n + r[2], 0)), places = [];
    meta.reads.reduce((to, [, , length]) => (places.push(result.subarray(to, to + length)), to + length), RESULT_ROOM);
    const reads = Promise.all(meta.reads.map((r, i) => ours(r) ? this.nn.read(load.buffers[r[0]], places[i]) : null));
    reads.catch(() => {});
    const gpu = { ...meta, reads: meta.reads.filter(r => !ours(r)) }, rest = writes.filter(w => !ours(w));
    const other = rest.length || gpu.reads.length || this.plan(load, gpu).length ? await this.runGpu(load, gpu, rest, job) : null;
    await reads;
    let from = RESULT_ROOM;
    meta.reads.forEach((r, i) => { if (!ours(r)) places[i].set(other.result.subarray(from, from += r[2])); });
    const n = other ? other.meta : { gpu_ms: -1, dispatches: 0, submits: 0 };
    return { meta: { ...n, device_ms: performance.now() - start, dispatches: n.dispatches + graphs }, result };
  }

  // A lane of the load that no run in flight reads back through.
  async lane(load) {
    if (!load.idle.length) await new Promise(r => load.waiting.push(r));
    return load.idle.pop();
  }

  async runGpu(load, meta, writes, job) {
    const start = performance.now();
    if (load.compileLater) await (load.compiling = load.compiling || load.compileLater());
    load.compileLater = null;
    const lane = await this.lane(load);
    if (this.inFlight++ === 0) this.errors.length = 0;
    let query = null;
    try {
      const parts = this.plan(load, meta), key = `${meta.segments}`, predicted = load.scale.get(key) || 0;
      query = this.queries(load, meta, parts, lane);
      const { submits, read } = await this.exclusive(() => this.submitRun(load, meta, writes, job, { parts, key, predicted, query, lane }));
      const { result, times } = await read;
      if (this.errors.length) throw await this.exclusive(() => this.blame(load, parts, this.errors[0]));
      load.checked.add(key);
      const end = performance.now(), ms = end - start;
      this.learn(load, meta, key, end - Math.max(start, this.doneAt));
      this.doneAt = end;
      const reply = { device_ms: ms, gpu_ms: -1, dispatches: parts.reduce((n, p) => n + p[1], 0), submits };
      if (times && meta.profile) {
        reply.dispatch_us = parts.map((_, i) => Number(times[2 * i + 1] - times[2 * i]) / 1e3);
        reply.dispatch_at_us = parts.map((_, i) => Number(times[2 * i] - times[0]) / 1e3);
      }
      if (times) reply.gpu_ms = Number(times[times.length - 1] - times[0]) / 1e6;
      return { meta: reply, result };
    } finally {
      if (query && query.temporary) [query.set, query.resolve, query.readback].forEach(x => x.destroy());
      this.inFlight--;
      load.idle.push(lane);
      if (load.waiting.length) load.waiting.shift()();
    }
  }

  // Writes, encodes, submits, and asks for the results; does not wait for them. The first run is checked.
  async submitRun(load, meta, writes, job, { parts, key, predicted, query, lane }) {
    const { device } = this, fresh = !load.checked.has(key);
    for (const w of writes) if (w[2].then) w[2] = await w[2];
    if (job.cancelled) throw cancelled();
    if (fresh) device.pushErrorScope('validation');
    for (const [buffer, offset, bytes] of writes) device.queue.writeBuffer(load.buffers[buffer], offset, bytes);
    let submits, read, invalid = null;
    try {
      submits = await this.submitAll(load, meta, job, parts, query, lane);
      read = this.readBack(meta, job, predicted, query, lane);
      read.catch(() => {});
    } finally {
      if (fresh) invalid = await device.popErrorScope();
    }
    if (invalid) throw await this.blame(load, parts, invalid.message);
    return { submits, read };
  }

  // What a run took predicts the next one, for the whole and for each of its segments.
  learn(load, meta, key, ms) {
    if (meta.profile) return;
    load.scale.set(key, ms);
    const [first, count] = meta.segments;
    let known = 0;
    for (let s = first; s < first + count; s++) known += load.meta.segments[s] ? load.meta.segments[s].predicted_ns : 0;
    for (let s = first; s < first + count; s++) {
      const seg = load.meta.segments[s];
      if (seg) load.scale.set(s, known > 0 ? ms * seg.predicted_ns / known : ms / count);
    }
  }
}
