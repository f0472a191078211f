import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry, type Metric } from 'prom-client';

const LATENCY_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** The metrics of one process, in the text format of Prometheus. Asking twice for a name gives the same metric. */
export class Metrics {
  readonly registry = new Registry();

  constructor(app: string) {
    this.registry.setDefaultLabels({ app });
    collectDefaultMetrics({ register: this.registry });
  }

  counter<L extends string = string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return this.once(name, () => new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] }));
  }

  gauge<L extends string = string>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    collect?: (gauge: Gauge<L>) => void | Promise<void>,
  ): Gauge<L> {
    return this.once(name, () => {
      const options = { name, help, labelNames: [...labelNames], registers: [this.registry] };
      return new Gauge<L>(
        collect
          ? {
              ...options,
              collect() {
                return collect(this);
              },
            }
          : options,
      );
    });
  }

  histogram<L extends string = string>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    buckets: readonly number[] = LATENCY_BUCKETS_SECONDS,
  ): Histogram<L> {
    const options = { name, help, labelNames: [...labelNames], buckets: [...buckets], registers: [this.registry] };
    return this.once(name, () => new Histogram<L>(options));
  }

  /** A counter by one label for a hot path: counting is one addition, the rest happens when it is read. */
  tally<K extends string>(name: string, help: string, label: string, keys: readonly K[]): (key: K) => void {
    const counts = Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
    this.registry.registerMetric(
      new Counter({
        name,
        help,
        labelNames: [label],
        registers: [],
        collect() {
          this.reset();
          for (const key of keys) this.inc({ [label]: key }, counts[key]);
        },
      }),
    );
    return (key) => {
      counts[key]++;
    };
  }

  /** A histogram of seconds without labels for a hot path: an observation is a short search and two additions. */
  stopwatch(name: string, help: string): (seconds: number) => void {
    const buckets = LATENCY_BUCKETS_SECONDS;
    const counts = new Float64Array(buckets.length + 1);
    let sum = 0;
    const read = () => {
      let total = 0;
      const values = [...buckets, '+Inf' as const].map((le, index) => {
        total += counts[index] as number;
        return { metricName: `${name}_bucket`, labels: { le }, value: total };
      });
      const ends = [
        { metricName: `${name}_sum`, labels: {}, value: sum },
        { metricName: `${name}_count`, labels: {}, value: total },
      ];
      return { name, help, type: 'histogram', values: [...values, ...ends], aggregator: 'sum' };
    };
    // The registry asks a metric for its name and its values, and nothing else.
    this.registry.registerMetric({ name, get: async () => read() } as unknown as Metric);
    return (seconds) => {
      let index = 0;
      while (index < buckets.length && seconds > (buckets[index] as number)) index++;
      counts[index] = (counts[index] as number) + 1;
      sum += seconds;
    };
  }

  private once<M extends object>(name: string, make: () => M): M {
    return (this.registry.getSingleMetric(name) as M | undefined) ?? make();
  }
}
