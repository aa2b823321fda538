// Numbers, times and names as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const UNKNOWN = "–";

/** A count or a rate: 0, 0.4, 12, 3,120, 1.2M. */
export function number(value) {
  if (value === undefined || value === null || Number.isNaN(value)) {
    return UNKNOWN;
  }
  if (Math.abs(value) >= 1e6) {
    return compact.format(value);
  }
  return Math.abs(value) < 10 ? one.format(value) : whole.format(value);
}

export function milliseconds(value) {
  if (value === undefined) {
    return UNKNOWN;
  }
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

export function percent(share) {
  if (share === undefined) {
    return UNKNOWN;
  }
  const value = share * 100;
  return value > 0 && value < 0.1 ? "< 0.1 %" : `${value.toFixed(1)} %`;
}

export const factor = (value) => (value === undefined ? UNKNOWN : `${value.toFixed(2)} ×`);

export const clock = (millis) => time.format(new Date(millis));

export const plural = (count, thing) => `${number(count)} ${thing}${count === 1 ? "" : "s"}`;

/** Where a replica is; those inside the router's process have made-up names. */
export function replicaName(target) {
  const embedded = /^inprocess:.*-(\d+)$/.exec(target);
  return embedded ? `embedded ${embedded[1]}` : target;
}
