// A test reporter that says only how it went: "N passed, M failed[, K skipped]".

export default async function* summary(events) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const { type, data } of events) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.details?.type === "suite") continue;
    if (data.skip !== undefined) counts.skipped += 1;
    else counts[type === "test:pass" ? "passed" : "failed"] += 1;
  }
  const line = `${counts.passed} passed, ${counts.failed} failed`;
  yield counts.skipped ? `${line}, ${counts.skipped} skipped\n` : `${line}\n`;
}
