// Small helpers that all maps share.

export const clamp = (x, low = -1, high = 1) => Math.min(high, Math.max(low, x));

export const signed = (x) => x.toFixed(2).replace("-0.00", "0.00").replace("-", "−");

export const figure = (x) => (typeof x === "number" ? String(Number(x.toPrecision(3))) : String(x ?? ""));

export const brief = (words) => (words.length > 28 ? words.slice(0, 27) + "…" : words);

export function bytes(base64) {
  const raw = atob(base64), out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

export function download(parts, type, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type })); link.download = name; link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// One job in flight; while it runs only the latest request is kept. The job's last argument tells whether there is one.
export function latestWins(job) {
  let waiting = null, busy = false;
  return async (...args) => {
    waiting = args;
    if (busy) return;
    busy = true;
    try { while (waiting) { const now = waiting; waiting = null; await job(...now, () => waiting !== null); } } finally { busy = false; }
  };
}

export function later(delay, job) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(job, delay); };
}
