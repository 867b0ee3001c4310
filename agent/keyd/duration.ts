/** `ms` for a reader, rounded up to seconds: `45 s`, `9 min 30 s`, `2 h 5 min`. Negative counts as nothing left. */
export const renderDuration = (ms: number): string => {
  const all = Math.max(0, Math.ceil(ms / 1000));
  const hours = Math.floor(all / 3600);
  const minutes = Math.floor((all % 3600) / 60);
  const seconds = all % 60;
  if (hours > 0) return minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`;
  if (minutes > 0) return seconds > 0 ? `${minutes} min ${seconds} s` : `${minutes} min`;
  return `${seconds} s`;
};
