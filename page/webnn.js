// WebNN: the context and what it can do; a plan's WebNN segments as graphs, built once at load, and
// their tensors, made once. A run writes tensors, dispatches graphs, reads tensors.
import { BUFFER_KIND, DTYPE, NN_KIND, TRANSFORM, WEBNN } from './schema.js';
import { fetchRange, JobError } from './upload.js';

const NAMES = { [DTYPE.F32]: 'float32', [DTYPE.F16]: 'float16', [DTYPE.I32]: 'int32', [DTYPE.U32]: 'uint32', [DTYPE.I64]: 'int64',
  [DTYPE.U64]: 'uint64', [DTYPE.I8]: 'int8', [DTYPE.U8]: 'uint8' };
const PIECE = 4 << 20, LANES = 4;
const within = (ms, what, promise) => Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`${what} did not answer in ${ms / 1000} s`)), ms))]);

// {method: {operand: [types, least rank, greatest rank]}} and a graph's inputs, constants, outputs.
function compact(limits) {
  const out = { ops: {}, layout: limits.preferredInputLayout || '', bytes: limits.maxTensorByteLength || 0 };
  const slot = s => [(s.dataTypes || []).join(), s.rankRange ? s.rankRange.min : 0, s.rankRange ? s.rankRange.max : 8];
  for (const [name, v] of Object.entries(limits)) {
    if (typeof v !== 'object') continue;
    if (v.dataTypes) { out[name] = slot(v); continue; }
    out.ops[name] = {};
    for (const [operand, s] of Object.entries(v)) if (s && s.dataTypes) out.ops[name][operand] = slot(s);
  }
  return out;
}

// {context, hello}: hello.webnn_error says why there is none. device '' asks for nothing.
export async function findContext(device) {
  const there = 'ml' in navigator && typeof MLGraphBuilder === 'function';
  const hello = { webnn: false, webnn_exposed: there, webnn_device: device };
  if (!device) return { context: null, hello };
  if (!there) return { context: null, hello: { ...hello, webnn_error: 'navigator.ml is missing: this browser has WebNN turned off or has none' } };
  try {
    const context = await within(20000, 'createContext', navigator.ml.createContext({ deviceType: device, powerPreference: 'high-performance' }));
    hello.webnn_limits = compact(context.opSupportLimits());
    if (typeof context.accelerated === 'boolean') hello.webnn_accelerated = context.accelerated;
    hello.webnn = true;
    return { context, hello };
  } catch (e) {
    return { context: null, hello: { ...hello, webnn_error: `createContext: ${e.message || e}` } };
  }
}

/* --- weights --- */
function half(h) {
  const s = h & 0x8000 ? -1 : 1, e = h >> 10 & 31, m = h & 1023;
  return e === 31 ? (m ? NaN : s * Infinity) : e ? s * 2 ** (e - 15) * (1 + m / 1024) : s * 2 ** -14 * (m / 1024);
}

function widened(bytes, dtype) {
  const at = bytes.slice().buffer;
  switch (dtype) {
    case DTYPE.F16: return Float32Array.from(new Uint16Array(at), half);
    case DTYPE.BF16: { const u = Uint32Array.from(new Uint16Array(at), h => h << 16); return new Float32Array(u.buffer); }
    case DTYPE.F64: return Float32Array.from(new Float64Array(at));
    default: return new Float32Array(at);
  }
}

function place(bytes, to, dst, transform, dtype, [rows, cols, ld, col]) {
  if (transform === TRANSFORM.NONE) { to.set(bytes, dst); return; }
  const words = new Float32Array(to.buffer, to.byteOffset + dst, (to.byteLength - dst) >> 2);
  if (transform === TRANSFORM.I64_TO_I32) {
    const narrow = Int32Array.from(new BigInt64Array(bytes.slice().buffer), Number);
    new Int32Array(to.buffer, to.byteOffset + dst, narrow.length).set(narrow);
    return;
  }
  if (transform === TRANSFORM.WIDEN) {
    const from = dtype === DTYPE.U16 ? new Uint16Array(bytes.slice().buffer) : new Int16Array(bytes.slice().buffer);
    new Int32Array(to.buffer, to.byteOffset + dst, from.length).set(from);
    return;
  }
  const f = widened(bytes, dtype);
  if (transform === TRANSFORM.COPY2D) for (let r = 0; r < rows; r++) words.set(f.subarray(r * cols, (r + 1) * cols), r * ld + col);
  else if (transform === TRANSFORM.TRANSPOSE2D) for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) words[c * ld + col + r] = f[r * cols + c];
  else words.set(f);
}

async function fetchWeights(load, job, advanced) {
  const { uploads } = load.meta.webnn, list = [], own = uploads.filter(u => u[0] === 'd');
  // The plan's own small constants come in one request.
  if (own.length) {
    const first = Math.min(...own.map(u => u[1])), end = Math.max(...own.map(u => u[1] + u[2]));
    const all = await fetchRange(`${load.meta.path}/d`, first, end - first, job);
    for (const [, offset, length, buffer, dst, t, dtype, p] of own) {
      place(all.subarray(offset - first, offset - first + length), load.buffers[buffer].bytes, dst, t, dtype, p);
      advanced(length, 0);
    }
  }
  for (const [source, offset, length, buffer, dst, t, dtype, p] of uploads) {
    if (source === 'd') continue;
    const step = t === TRANSFORM.NONE ? PIECE : length;
    for (let at = 0; at < length; at += step) list.push({ source, offset: offset + at, length: Math.min(step, length - at), buffer, dst: dst + at, t, dtype, p });
  }
  let next = 0, failed = null;
  const lane = async () => {
    while (next < list.length && !failed && !job.cancelled) {
      const w = list[next++];
      try {
        const bytes = await fetchRange(`${load.meta.path}/${w.source}`, w.offset, w.length, job);
        place(bytes, load.buffers[w.buffer].bytes, w.dst, w.t, w.dtype, w.p);
        advanced(bytes.length, 0);
      } catch (e) {
        failed = failed || e;
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  if (failed) throw failed;
}

/* --- graphs --- */
const ARRAYS = { float32: Float32Array, float16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, int8: Int8Array, uint8: Uint8Array };
const SIZES = { float32: 4, float16: 2, int32: 4, uint32: 4, int64: 8, uint64: 8, int8: 1, uint8: 1 };
const count = dims => dims.reduce((n, d) => n * d, 1);

function describe([, , dtype, dims]) {
  return { dataType: NAMES[dtype], shape: dims, dimensions: dims };
}

function filled(operand) {
  const d = describe(operand), a = new ARRAYS[d.dataType](count(d.shape));
  return a.fill(d.dataType.endsWith('64') ? BigInt(operand[4]) : Number(operand[4]));
}

class Builder {
  constructor(context, load) {
    Object.assign(this, { load, builder: new MLGraphBuilder(context), made: new Map(), inputs: {}, outputs: {}, writes: {} });
  }

  operand(id) {
    if (this.made.has(id)) return this.made.get(id);
    const o = this.load.meta.webnn.operands[id], d = describe(o);
    let x;
    if (o[0] === NN_KIND.TENSOR) {
      const name = `t${o[1]}`;
      x = this.tensors && this.tensors.get(name) || this.builder.input(name, d);
      (this.tensors = this.tensors || new Map()).set(name, x);
      this.inputs[name] = this.load.buffers[o[1]].tensor;
    } else if (o[0] === NN_KIND.CONST) {
      x = this.builder.constant(d, this.load.buffers[o[1]].bytes.subarray(0, count(d.shape) * SIZES[d.dataType])); // the builder copies it
    } else {
      x = this.builder.constant(d, filled(o).buffer);
    }
    this.made.set(id, x);
    return x;
  }

  call([op, ins, outs, attrs, label]) {
    const [method, positional, optional, args] = WEBNN[op], options = { ...attrs, label };
    const given = args.map(a => { const v = options[a]; delete options[a]; return v; });
    let made;
    try {
      if (method === 'concat') {
        made = this.builder.concat(ins.map(i => this.operand(i)), ...given, options);
      } else {
        optional.forEach((name, k) => { if (ins[positional.length + k] >= 0) options[name] = this.operand(ins[positional.length + k]); });
        made = this.builder[method](...positional.map((_, k) => this.operand(ins[k])), ...given, options);
      }
    } catch (e) {
      throw new JobError('UNSUPPORTED', `WebNN's ${method} for ${label}: ${e.message || e}`, label);
    }
    const results = Array.isArray(made) ? made : [made];
    outs.forEach((id, k) => {
      this.made.set(id, results[k]);
      const buffer = this.load.meta.webnn.operands[id][1];
      if (buffer < 0) return;
      this.outputs[`t${buffer}`] = results[k];
      this.writes[`t${buffer}`] = this.load.buffers[buffer].tensor;
    });
  }
}

export class Webnn {
  constructor(context) {
    this.context = context;
  }

  // The load's buffers of WebNN's memory: constants as bytes until the graphs are built, tensors for good.
  async makeBuffers(load) {
    for (const [i, b] of load.meta.buffers.entries()) {
      if (!b || b.webnn === undefined) continue;
      load.bytes += b.size;
      load.runtime.bytes += b.size;
      if (b.kind !== BUFFER_KIND.TENSOR) {
        load.buffers[i] = { bytes: new Uint8Array(b.size) };
        continue;
      }
      const d = describe(load.meta.webnn.operands[b.webnn]);
      try {
        load.buffers[i] = { tensor: await this.context.createTensor({ ...d, readable: true, writable: true }), length: count(d.shape) * SIZES[d.dataType] };
      } catch (e) {
        throw new JobError('NO_MEMORY', `a WebNN tensor ${d.dataType}[${d.shape}]: ${e.message || e}`);
      }
    }
  }

  async build(load, job) {
    await fetchWeights(load, job, load.advance);
    load.graphs = [];
    for (const [s, seg] of load.meta.segments.entries()) {
      if (!seg || !seg.webnn) continue;
      if (job.cancelled) throw new JobError('CANCELLED', 'the job was cancelled');
      const b = new Builder(this.context, load);
      for (let i = seg.first; i < seg.first + seg.count; i++) b.call(load.meta.webnn.calls[i]);
      if (!Object.keys(b.outputs).length) continue;
      try {
        load.graphs[s] = { graph: await b.builder.build(b.outputs), inputs: b.inputs, outputs: b.writes };
      } catch (e) {
        const label = load.meta.webnn.calls[seg.first][4];
        throw new JobError('UNSUPPORTED', `WebNN cannot build the graph of ${seg.count} calls that begins with ${label}: ${e.message || e}`, label);
      }
      load.advance(0, 1);
    }
    for (const b of load.buffers) if (b && b.bytes) b.bytes = null;
  }

  free(load) {
    for (const g of load.graphs || []) if (g && g.graph.destroy) g.graph.destroy();
    for (const b of load.buffers) if (b && b.tensor) b.tensor.destroy();
  }

  write({ tensor, length }, bytes) {
    if (bytes.length) this.context.writeTensor(tensor, bytes.subarray(0, length));
  }

  // Dispatches the WebNN segments of [first, first + n); how many.
  dispatch(load, first, n) {
    let done = 0;
    for (let s = first; s < first + n; s++) {
      const g = load.graphs && load.graphs[s];
      if (!g) continue;
      this.context.dispatch(g.graph, g.inputs, g.outputs);
      done++;
    }
    return done;
  }

  // The first bytes of a tensor, as many as `into` has.
  async read({ tensor, length }, into) {
    if (into.length >= length) await this.context.readTensor(tensor, into);
    else if (into.length) into.set(new Uint8Array(await this.context.readTensor(tensor), 0, into.length));
  }

  destroy() {
    this.context.destroy();
  }
}
