/** For everybody, and for nobody else: screen readers, dark and small screens, tokens, and names that would like to be markup. */

import { expect, type Page, test } from '@playwright/test';
import { resolve } from 'node:path';
import { Daemon, tokens, until } from './daemon';
import { clean, held, panel, timeline, watch } from './support';

/** Where the pictures go: into the documents when UPDATE_PICTURES is set. */
const PICTURES = resolve(import.meta.dirname, process.env['UPDATE_PICTURES'] ? '../../../docs' : '../test-results');
const PHONE = { width: 390, height: 844 };
/** All that an id may have. */
const ID = `"'><script>alert(1)<&amp;ünï-犬`;
const MARKUP = '<img src=x onerror="alert(1)">';

let daemon: Daemon;

test.describe.configure({ mode: 'serial' });
test.beforeAll(async () => {
  daemon = await Daemon.start();
  const added = await daemon.call('POST', '/v1/streams', {
    id: ID,
    uri: 'test://?pattern=ball&wave=ticks',
    queries: [MARKUP],
    detect: false,
    hop: '20s',
  });
  expect(added.status).toBe(201);
  const rule = await daemon.call('POST', '/v1/rules', { id: 'markup', label: MARKUP, streams: [ID] });
  expect(rule.status).toBe(201);
  await until('events', async () => (await daemon.get<{ events: unknown[] }>('/v1/events?stream=scene')).events.length > 2);
});
test.afterAll(async () => daemon?.stop());

/** Through every view; `look` is called at each. */
async function everywhere(page: Page, look: (what: string) => Promise<void>): Promise<void> {
  await page.goto(daemon.url);
  await until('events', async () => (await held(page)) > 2);
  await expect(page.locator('.thumbnail img').first()).toBeVisible();
  await look('time lines');
  await page.getByRole('button', { name: 'Table' }).click();
  await expect(page.getByRole('table')).toBeVisible();
  await look('table');
  const { events } = await daemon.get<{ events: { event_id: string; start: { utc: string } }[] }>('/v1/events?stream=scene');
  const event = events.at(-1);
  for (const [hash, ready] of [
    [`#/event/${encodeURIComponent(event?.event_id ?? '')}`, 'Revisions'],
    [`#/why/scene/${encodeURIComponent(event?.start.utc ?? '')}`, 'Needed'],
    ['#/stream/scene', 'Ask'],
    [`#/edit/${encodeURIComponent(ID)}`, 'Save'],
    ['#/add', 'Id'],
    ['#/rules', 'Looks for'],
    ['#/rules/rule/markup', 'Try it'],
  ] as const) {
    await page.goto(`${daemon.url}/${hash}`);
    await expect(page.getByText(ready, { exact: true }).first()).toBeVisible();
    if (hash === '#/add') {
      await page.getByLabel('Id').fill('a b');
      await page.getByRole('button', { name: 'Add the stream' }).click();
      await expect(page.locator('[aria-invalid]').first()).toBeVisible();
      await page.locator('summary').click();
    }
    await look(hash);
  }
}

for (const [name, colorScheme, viewport] of [
  ['light', 'light', { width: 1280, height: 800 }],
  ['dark', 'dark', { width: 1280, height: 800 }],
  ['on a phone', 'dark', PHONE],
] as const) {
  test(`nothing is in the way of anybody, ${name}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.setViewportSize(viewport);
    await everywhere(page, async (what) => {
      await clean(page, `${name}: ${what}`);
      const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
      expect(wide, `${what} does not scroll sideways`).toBeLessThanOrEqual(screen ?? 0);
    });
  });
}

test('names are text and nothing else', async ({ page }) => {
  const troubles = watch(page, daemon.url);
  await page.goto(daemon.url);
  const row = page.getByRole('region', { name: `Stream ${ID}` });
  await expect(row.getByRole('heading')).toHaveText(ID);
  await row.getByRole('heading').getByRole('link').click();
  const details = panel(page, ID);
  await expect(details.getByText(MARKUP)).toBeVisible();
  await details.getByRole('link', { name: 'Edit' }).click();
  await expect(page.getByRole('textbox', { name: 'query 1' })).toHaveValue(MARKUP);
  await page.goto(`${daemon.url}/#/rules`);
  await expect(page.getByRole('row').filter({ hasText: 'markup' })).toContainText(MARKUP);
  await until('a window of it', async () => {
    const { windows } = await daemon.get<{ windows: { start: { utc: string } }[] }>(`/v1/windows?stream=${encodeURIComponent(ID)}`);
    const at = windows[0]?.start.utc;
    if (at) await page.goto(`${daemon.url}/#/why/${encodeURIComponent(ID)}/${encodeURIComponent(at)}`);
    return at;
  });
  await expect(panel(page, 'Why, or why not').getByText(`“${MARKUP}”`).first()).toBeVisible();
  expect(await page.locator('img[src="x"], script:not([src])').count()).toBe(0);
  expect(troubles).toEqual([]);
});

test('only for those with a token', async ({ page }) => {
  const { file, token, remove } = tokens('write');
  const guarded = await Daemon.start(`token_file = ${JSON.stringify(file)}`);
  try {
    const troubles = watch(page, guarded.url);
    await page.goto(guarded.url);
    const asks = page.getByRole('dialog', { name: 'This daemon asks who you are' });
    await expect(asks).toBeVisible();
    await clean(page, 'the question for a token');
    await asks.getByLabel('Token').fill('avs_tester_00');
    await asks.getByRole('button', { name: 'Go on' }).click();
    await expect(asks.getByText('This token is not known here.')).toBeVisible();
    await asks.getByLabel('Token').fill(token);
    await asks.getByRole('button', { name: 'Go on' }).click();
    await expect(page.getByRole('region', { name: 'Stream scene' })).toBeVisible();
    await expect(page.getByRole('banner').getByRole('status')).toHaveText('live');
    await expect(page.locator('.thumbnail img')).toBeVisible();
    await until('an event', async () => (await held(page)) > 0);
    await page.reload();
    await expect(page.getByRole('region', { name: 'Stream scene' })).toBeVisible();
    expect(await page.evaluate(() => [localStorage.length, document.cookie])).toEqual([0, '']);
    expect(troubles).toEqual([]);
  } finally {
    await guarded.stop();
    remove();
  }
});

test('how it looks', async ({ page }) => {
  await daemon.call('DELETE', `/v1/streams/${encodeURIComponent(ID)}`);
  await daemon.call('POST', '/v1/streams', { id: 'test-card', uri: 'test://?pattern=smpte&wave=sine' });
  await until('the test card', async () => {
    const { coverage } = await daemon.get<{ coverage: unknown[] }>('/v1/coverage?stream=test-card');
    return coverage.length > 0;
  });
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1360, height: 600 });
  await page.goto(daemon.url);
  await page.getByRole('button', { name: '2 minutes' }).click();
  await until('events', async () => (await held(page)) > 5);
  await timeline(page).focus();
  for (let press = 0; press < 3; press++) await page.keyboard.press('p');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('complementary').getByRole('img', { name: /^Picture of / })).toBeVisible();
  await page.getByRole('button', { name: 'Live' }).click();
  await expect(page.getByRole('banner').getByRole('status')).toHaveText('live');
  await page.mouse.move(5, 590);
  await page.screenshot({ path: `${PICTURES}/page-light.png` });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize(PHONE);
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('heading', { name: 'test-card' }).waitFor();
  await page.screenshot({ path: `${PICTURES}/page-phone-dark.png` });
});
