// The page: starts the worker that does everything and takes the one-time token out of the URL's fragment, which
// may come later: the browser is started on this page, and navigated to the token once it can be. Only where a
// worker has no navigator.gpu does the session run here, on the main thread.

const say = text => { document.getElementById('state').textContent = text; };
let start = null, ready = null, worker = null, begun = false;

const here = async why => {
  say(`running on the page's own thread (${why})`);
  const { Session } = await import('./session.js');
  new Session({ ...start, worker: false, say }).open();
};

// Once both the token and the worker's word are there. ready: {gpu, ml} of the worker, or {failed}.
function begin() {
  if (!start || !ready || begun) return;
  begun = true;
  const lacks = !ready.gpu && navigator.gpu ? 'WebGPU' : start.webnn && !ready.ml && navigator.ml ? 'WebNN' : '';
  if (!ready.failed && !lacks) {
    worker.postMessage(start);
    return;
  }
  if (worker) worker.terminate();
  here(ready.failed || `workers have no ${lacks}`);
}

function takeToken() {
  const [token, webnn = ''] = location.hash.slice(1).split('.');
  if (!/^[0-9a-f]{64}$/.test(token) || !/^(cpu|gpu|npu|)$/.test(webnn)) {
    if (!start) say('this page must be opened by webaccel: its address carries a token that works once');
    return;
  }
  if (start) { // a session has been here: anew, with the token still in the address
    location.reload();
    return;
  }
  history.replaceState(null, '', location.pathname);
  start = { token, webnn, url: `ws://${location.host}/ws`, opened: performance.timeOrigin };
  begin();
}

try {
  worker = new Worker('worker.js', { type: 'module' });
  worker.onmessage = ({ data }) => {
    if (data.say) say(data.say);
    else ready = ready || data;
    begin();
  };
  worker.onerror = e => {
    ready = ready || { failed: e.message || 'the worker failed to start' };
    begin();
  };
} catch (e) {
  ready = { failed: String(e) };
}
addEventListener('hashchange', takeToken);
takeToken();
