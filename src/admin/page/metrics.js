// The listener's metrics, read from their text form.

/** One line of the text: a name, labels and a value. */
const SAMPLE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

export class Metrics {
  constructor(text) {
    this.families = new Map();
    for (const line of text.split("\n")) {
      const sample = SAMPLE.exec(line);
      if (!sample) continue;
      const [, name, written, value] = sample;
      const labels = {};
      for (const [, label, quoted] of (written ?? "").matchAll(LABEL)) {
        labels[label] = quoted.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
      }
      if (!this.families.has(name)) this.families.set(name, []);
      this.families.get(name).push({ labels, value: Number(value) });
    }
  }

  /** The samples of a metric, without the program's prefix. */
  all(name) {
    return this.families.get(`portcullis_${name}`) ?? [];
  }

  /** The sum of a metric's samples that have these labels. */
  sum(name, labels = {}) {
    const fits = (sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value);
    return this.all(name).filter(fits).reduce((sum, sample) => sum + sample.value, 0);
  }

  /** A histogram's buckets in order, each with its upper bound and how many fell into it. */
  buckets(name, labels) {
    const fits = (sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value);
    const bound = (sample) => (sample.labels.le === "+Inf" ? Infinity : Number(sample.labels.le));
    const cumulative = this.all(`${name}_bucket`).filter(fits).map((sample) => ({ upTo: bound(sample), all: sample.value }));
    cumulative.sort((a, b) => a.upTo - b.upTo);
    return cumulative.map(({ upTo, all }, at) => ({ upTo, count: all - (cumulative[at - 1]?.all ?? 0) }));
  }
}

/** About where so large a share of a histogram lies: within its bucket, evenly. Nothing of an empty one. */
export function quantile(buckets, share) {
  const wanted = buckets.reduce((sum, bucket) => sum + bucket.count, 0) * share;
  if (wanted === 0) return null;
  let [below, from] = [0, 0];
  for (const { upTo, count } of buckets) {
    if (below + count >= wanted) return upTo === Infinity ? from : from + ((upTo - from) * (wanted - below)) / count;
    below += count;
    from = upTo;
  }
  return from;
}
