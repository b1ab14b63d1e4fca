/** A day with 100,000 events: how many there are is there at once, and each of them for who looks closer. The figures are printed, not judged. */

import { expect, type Page, test } from '@playwright/test';
import { Mock } from './mock';
import { held, timeline } from './support';

const COUNT = 100_000;

/** Milliseconds between frames while the pointer drags to and fro. */
async function dragged(page: Page): Promise<number[]> {
  const box = await timeline(page, 'busy').boundingBox();
  if (!box) throw new Error('there is no time line');
  await page.evaluate(() => {
    const frames: number[] = [];
    let last = performance.now();
    const frame = (now: number) => {
      frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    Object.assign(window, { frames });
  });
  const [left, right, y] = [box.x + 100, box.x + box.width - 100, box.y + 40];
  await page.mouse.move(left, y);
  await page.mouse.down();
  for (let turn = 0; turn < 4; turn++) await page.mouse.move(turn % 2 === 0 ? right : left, y, { steps: 25 });
  await page.mouse.up();
  return page.evaluate(() => (window as unknown as { frames: number[] }).frames.slice(1));
}

function told(frames: number[]): string {
  const sorted = [...frames].sort((one, other) => one - other);
  const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(1);
  return `${frames.length} frames; median ${at(0.5)} ms, 95 % ${at(0.95)} ms, longest ${at(1)} ms`;
}

test('a day with 100,000 events is shown and moved', async ({ page }) => {
  const mock = await Mock.start(COUNT);
  try {
    await page.goto(mock.url);
    const paint = await page.evaluate(
      () =>
        new Promise<number>((resolve) => {
          new PerformanceObserver((list) => {
            const first = list.getEntriesByName('first-contentful-paint')[0];
            if (first) resolve(first.startTime);
          }).observe({ type: 'paint', buffered: true });
        }),
    );
    console.log(`first contentful paint after ${paint.toFixed(0)} ms`);
    const started = Date.now();
    await page.getByRole('button', { name: '1 day' }).click();
    await expect.poll(() => held(page, 'busy'), { timeout: 150_000 }).toBeGreaterThanOrEqual(COUNT * 0.99);
    console.log(`${await held(page, 'busy')} events read in ${Date.now() - started} ms`);
    const asked = (path: string) => mock.calls.filter((call) => call.startsWith(path)).length;
    console.log(`for it ${asked('/v1/events/counts')} counts and ${asked('/v1/events?')} pages were asked for`);
    expect(asked('/v1/events/counts') + asked('/v1/events?')).toBeLessThanOrEqual(6);
    await expect(page.getByText('counted together')).toBeVisible();

    console.log(`panning a day: ${told(await dragged(page))}`);
    await page.getByRole('button', { name: '1 hour' }).click();
    console.log(`panning an hour: ${told(await dragged(page))}`);
    await page.getByRole('button', { name: '2 minutes' }).click();
    console.log(`panning two minutes: ${told(await dragged(page))}`);
    // Who looks closely has each of them, and what was read is not read again.
    await expect.poll(() => held(page, 'busy')).toBeGreaterThan(100);
    await expect(page.getByText('counted together')).toBeHidden();
    const before = asked('/v1/events?');
    await page.getByRole('button', { name: '2 minutes' }).click();
    await page.waitForTimeout(500);
    expect(asked('/v1/events?')).toBeLessThanOrEqual(before + 1);
    const cost = await page.evaluate(async () => {
      const started = performance.now();
      document.querySelector('.lanes')?.dispatchEvent(new Event('paint'));
      await new Promise(requestAnimationFrame);
      return performance.now() - started;
    });
    expect(cost).toBeGreaterThan(0);
  } finally {
    await mock.stop();
  }
});
