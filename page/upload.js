// Weights: HTTP ranges of the host's mapped files into GPU buffers, several in flight. A weight whose
// bytes need a transform goes through the staging buffer, a piece at a time, each piece a dispatch.

export class JobError extends Error {
  constructor(status, message, label = '') {
    super(message);
    this.status = status;
    this.label = label;
  }
}

const PIECE = 4 << 20, LANES = 4;

export async function fetchRange(path, offset, length, job) {
  const r = await fetch(path, { headers: { Range: `bytes=${offset}-${offset + length - 1}`, Authorization: `Bearer ${job.weightsToken}` }, cache: 'no-store', redirect: 'error' });
  if (r.status !== 206) throw new JobError('IO', `the host answered ${r.status} for bytes ${offset} to ${offset + length} of ${path}`);
  const bytes = new Uint8Array(await r.arrayBuffer());
  if (bytes.length !== length) throw new JobError('IO', `the host sent ${bytes.length} bytes of ${length} at ${offset} of ${path}`);
  return bytes;
}

// writeBuffer takes multiples of 4 bytes; the destination has room for the padding.
function padded(bytes) {
  if (bytes.length % 4 === 0) return bytes;
  const out = new Uint8Array((bytes.length + 3) & ~3);
  out.set(bytes);
  return out;
}

function pieces(uploads, transforms, stagingBytes) {
  const list = [];
  for (const [source, offset, length, buffer, dst, transform] of uploads) {
    const unit = transform < 0 ? 4 : transforms[transform].unit;
    const step = transform < 0 ? PIECE : Math.floor(Math.min(PIECE, stagingBytes) / (unit * 64)) * unit * 64;
    for (let at = 0; at < length; at += step)
      list.push({ source, offset: offset + at, length: Math.min(step, length - at), buffer, dst: dst + at, transform, first: at / unit });
  }
  return list;
}

// In the queue's order: the piece's bytes, its parameters, its dispatch. Nothing here waits.
function transformPiece(load, p, bytes) {
  const { device } = load.runtime, t = load.meta.transforms[p.transform], pipeline = load.transformPipelines[t.pipeline];
  const count = p.length / t.unit, groups = Math.ceil(count / 64), x = Math.min(groups, 65535);
  device.queue.writeBuffer(load.buffers[load.meta.staging], 0, padded(bytes));
  device.queue.writeBuffer(load.buffers[load.meta.params], 0, new Uint32Array([t.rows, t.cols, t.ld, t.word, 0, p.first, count, 0]));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [
    { binding: 0, resource: { buffer: load.buffers[load.meta.staging] } },
    { binding: 1, resource: { buffer: load.buffers[p.buffer], offset: t.bind_offset, size: t.bind_size } },
    { binding: 2, resource: { buffer: load.buffers[load.meta.params], offset: 0, size: 32 } }] });
  const e = device.createCommandEncoder(), pass = e.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(x, Math.ceil(groups / x));
  pass.end();
  device.queue.submit([e.finish()]);
}

export async function uploadWeights(load, job, advanced) {
  const { meta, runtime } = load;
  const list = pieces(meta.uploads, meta.transforms, meta.staging >= 0 ? meta.buffers[meta.staging].size : 0);
  let next = 0, failed = null;
  const lane = async () => {
    while (next < list.length && !failed && !job.cancelled) {
      const p = list[next++];
      try {
        const bytes = await fetchRange(`${meta.path}/${p.source}`, p.offset, p.length, job);
        if (failed || job.cancelled) return;
        if (p.transform < 0) runtime.device.queue.writeBuffer(load.buffers[p.buffer], p.dst, padded(bytes));
        else transformPiece(load, p, bytes);
        advanced(bytes.length);
      } catch (e) {
        failed = failed || e;
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  if (failed) throw failed;
}
