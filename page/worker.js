// The dedicated worker: owns the WebSocket and the GPU, so that nothing on the page delays a run. All modules are
// named here, since those that others name are fetched only once these have come.
import './frame.js';
import './runtime.js';
import './schema.js';
import './settle.js';
import './upload.js';
import './webnn.js';
import { findAdapter } from './adapter.js';
import { Session } from './session.js';

const adapter = navigator.gpu ? findAdapter() : null; // while the page says what it wants

self.onmessage = ({ data }) => {
  self.onmessage = null;
  new Session({ ...data, adapter, worker: true, say: text => self.postMessage({ say: text }) }).open();
};
self.postMessage({ ready: true, gpu: Boolean(navigator.gpu), ml: Boolean(navigator.ml) });
