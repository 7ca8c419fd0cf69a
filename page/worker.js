// The dedicated worker: owns the WebSocket and the GPU, so that nothing on the page delays a run.
import { Session } from './session.js';

self.onmessage = ({ data }) => {
  self.onmessage = null;
  new Session({ ...data, worker: true, say: text => self.postMessage({ say: text }) }).open();
};
self.postMessage({ ready: true, gpu: Boolean(navigator.gpu), ml: Boolean(navigator.ml) });
