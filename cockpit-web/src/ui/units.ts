// How a measured number is written, and at which numbers an axis has its ticks. Pure.

export type Unit = {
  show: (value: number) => string;
  /** The same beside an axis, where there is little room. */
  tick?: (value: number) => string;
  /** Distances between ticks that are round in this unit; absent: 1, 2, 2.5 and 5 times powers of ten. */
  steps?: number[];
};

/** As many digits as people can use. */
function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return size < 10 ? String(Number(value.toFixed(size < 1 ? 2 : 1))) : value.toFixed(0);
}

const BINARY = Array.from({ length: 50 }, (_, power) => 2 ** power);

export const percent: Unit = { show: (value) => `${short(value)} %` };

const share = (what: string): Unit => ({
  show: (value) => `${short(value)} % of ${what}`,
  tick: percent.show,
});

export const ofACore = share("a core");
export const ofTheLimit = share("the limit");
export const ofPeriods = share("scheduling periods");
export const ofRequests = share("requests");
export const milliseconds: Unit = { show: (value) => `${short(value)} ms` };
export const perSecond: Unit = { show: (value) => `${short(value)}/s` };
export const minutes: Unit = { show: (value) => `${short(value)} min` };
export const deviations: Unit = {
  show: (value) => `${short(value)} × the usual spread`,
  tick: (value) => `${short(value)} ×`,
};
export const budgets: Unit = {
  show: (value) => `${short(value)} × as fast as allowed`,
  tick: (value) => `${short(value)} ×`,
};
export const mebibytes: Unit = {
  show: (value) => (value >= 1024 ? `${short(value / 1024)} GiB` : `${short(value)} MiB`),
  steps: BINARY,
};
export const bytesPerSecond: Unit = { show: (value) => `${bytes(value)}/s`, steps: BINARY };

export const counted = (one: string, many: string): Unit => ({
  show: (value) => `${short(value)} ${value === 1 ? one : many}`,
});

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let rest = value;
  let unit = 0;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit++;
  }
  return `${rest < 10 && unit > 0 ? rest.toFixed(1) : Math.round(rest)} ${units[unit]}`;
}
