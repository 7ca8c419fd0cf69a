// Frames to and from the host: the layout stands in schema/wire.json.
import { WIRE, WIRE_FLAG } from './schema.js';

const encoder = new TextEncoder(), decoder = new TextDecoder();
const PACKED_BYTES = 24;
export const RESULT_ROOM = WIRE.header_bytes + PACKED_BYTES; // before a packed result's body

// meta is null where the frame has none.
export function parseFrame(buffer) {
  const v = new DataView(buffer);
  if (buffer.byteLength < WIRE.header_bytes || v.getUint32(0, true) !== WIRE.magic) throw new Error('a message of the host has no frame header');
  const meta = v.getUint32(20, true), body = Number(v.getBigUint64(24, true));
  if (WIRE.header_bytes + meta + body !== buffer.byteLength) throw new Error('a message of the host has the wrong length');
  return { type: v.getUint16(4, true), flags: v.getUint16(6, true), job: v.getBigUint64(8, true), seq: v.getUint32(16, true),
    meta: meta ? JSON.parse(decoder.decode(new Uint8Array(buffer, WIRE.header_bytes, meta))) : null,
    body: new Uint8Array(buffer, WIRE.header_bytes + meta, body) };
}

function header(out, type, flags, job, meta) {
  const v = new DataView(out.buffer);
  v.setUint32(0, WIRE.magic, true);
  v.setUint16(4, type, true);
  v.setUint16(6, flags, true);
  v.setBigUint64(8, job, true);
  v.setUint32(20, meta, true);
  v.setBigUint64(24, BigInt(out.length - WIRE.header_bytes - meta), true);
  return v;
}

export function buildFrame(type, job, meta, body = null) {
  const text = encoder.encode(JSON.stringify(meta)), start = WIRE.header_bytes + text.length;
  const out = new Uint8Array(start + (body ? body.length : 0));
  header(out, type, 0, job, text.length);
  out.set(text, WIRE.header_bytes);
  if (body) out.set(body, start);
  return out;
}

// In place: `out` has its body after RESULT_ROOM bytes that are free.
export function packResult(out, type, job, stats) {
  const v = header(out, type, WIRE_FLAG.PACKED, job, PACKED_BYTES);
  v.setFloat64(WIRE.header_bytes, stats.device_ms, true);
  v.setFloat64(WIRE.header_bytes + 8, stats.gpu_ms, true);
  v.setUint32(WIRE.header_bytes + 16, stats.dispatches, true);
  v.setUint32(WIRE.header_bytes + 20, stats.submits, true);
  return out;
}
