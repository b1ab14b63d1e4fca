/** A walk through the page, before a daemon that watches a real scene. */

import { expect, test } from '@playwright/test';
import { Daemon, SCENE, until } from './daemon';
import { Line } from './line';
import { held, panel, timeline, watch } from './support';

let daemon: Daemon;
let troubles: string[];

test.describe.configure({ mode: 'serial' });
test.beforeAll(async () => {
  daemon = await Daemon.start();
  await until('an event', async () => (await daemon.get<{ events: unknown[] }>('/v1/events')).events.length > 0);
});
test.afterAll(async () => daemon?.stop());
interface Looked {
  event_id: string;
  label: string;
  evidence?: unknown;
}

/** An event whose clip is there. */
async function looked(): Promise<Looked | undefined> {
  const { events } = await daemon.get<{ events: Looked[] }>('/v1/events?phase=ended');
  for (const event of events) {
    if ((await daemon.call('GET', `/v1/events/${event.event_id}/evidence`)).status === 200) return event;
  }
  return undefined;
}

test.beforeEach(async ({ page }) => {
  troubles = watch(page, daemon.url);
});
test.afterEach(() => expect(troubles).toEqual([]));

test('the stream is there with its picture and how it is', async ({ page }) => {
  await page.goto(daemon.url);
  const row = page.getByRole('region', { name: 'Stream scene' });
  await expect(row.getByRole('heading', { name: 'scene' })).toBeVisible();
  await expect(row.getByText('watching, picture and sound')).toBeVisible();
  await expect(row.getByText(/% watched/)).toBeVisible();
  const picture = row.locator('.thumbnail img');
  await expect(picture).toBeVisible();
  expect(await picture.evaluate((image: HTMLImageElement) => image.decode().then(() => image.naturalWidth))).toBeGreaterThan(50);
  const first = await picture.getAttribute('src');
  await expect(picture).not.toHaveAttribute('src', first ?? '');
  await expect(page.getByRole('banner').getByRole('status')).toHaveText('live');
});

test('events appear live', async ({ page }) => {
  await page.goto(daemon.url);
  await until('events that were there', async () => (await held(page)) > 0);
  // From now on only what is told live can come.
  await page.route('**/v1/events?*', (route) => route.abort());
  const before = await held(page);
  await until('an event that was told', async () => (await held(page)) > before);
});

test('hearing goes on after a break, and nothing is missed', async ({ page }) => {
  const line = await Line.to(daemon.url);
  troubles = watch(page, line.url);
  await page.goto(line.url);
  await until('events that were there', async () => (await held(page)) > 0);
  await page.route('**/v1/events?*', (route) => route.abort());
  const before = await held(page);
  await until('an event that was told', async () => (await held(page)) > before);
  const link = page.getByRole('banner').getByRole('status');
  const again = page.waitForRequest((request) => request.url().endsWith('/events/stream') && 'last-event-id' in request.headers());
  line.cut();
  await expect(link).toHaveText('connecting');
  const known = async () => (await daemon.get<{ events: unknown[] }>('/v1/events?limit=1000')).events.length;
  const told = await known();
  await until('an event while nobody heard', async () => (await known()) > told);
  const all = await known();
  line.mend();
  await again;
  await expect(link).toHaveText('live');
  await until('what was told meanwhile', async () => (await held(page)) >= all);
  await line.close();
});

test('an event is opened and reviewed by keyboard', async ({ page }) => {
  await page.goto(daemon.url);
  await until('events', async () => (await held(page)) > 2);
  await timeline(page).focus();
  await page.keyboard.press('p');
  await page.keyboard.press('p');
  await expect(page.locator('.hint')).toContainText('score');
  const words = (await page.locator('.hint').textContent()) ?? '';
  await page.keyboard.press('Enter');
  const label = words.split(',')[0] ?? '';
  const details = panel(page, label);
  await expect(details.getByRole('heading', { name: label })).toBeFocused();
  await expect(details.getByRole('heading', { name: 'What it looked and sounded like' })).toBeVisible();
  await expect(details.getByRole('table').getByText('started')).toBeVisible();
  const id = decodeURIComponent(new URL(page.url()).hash.split('/')[2] ?? '');

  await details.getByRole('button', { name: 'Wrong' }).click();
  await expect(details.getByText('Reviewed wrong')).toBeVisible();
  await expect(details.getByRole('button', { name: 'Wrong' })).toHaveAttribute('aria-pressed', 'true');
  const kept = await daemon.get<{ review: { verdict: string } }>(`/v1/events/${encodeURIComponent(id)}`);
  expect(kept.review.verdict).toBe('wrong');

  await details.getByRole('button', { name: 'Correct it' }).click();
  const end = details.getByLabel('End, s of stream time');
  await end.fill('-5');
  await details.getByRole('button', { name: 'Save the correction' }).click();
  await expect(end).toHaveAttribute('aria-invalid', 'true');
  await expect(end).toBeFocused();
  await expect(details.getByText('it must not end before it starts')).toBeVisible();
  await details.getByLabel('What it was').fill('<b>a kite</b>');
  await end.fill('100000');
  await details.getByRole('button', { name: 'Save the correction' }).click();
  await expect(details.getByText('it was <b>a kite</b>')).toBeVisible();

  await details.getByRole('button', { name: 'Close' }).click();
  await expect(timeline(page)).toBeFocused();
  await page.getByRole('button', { name: 'Table' }).click();
  await expect(page.getByRole('row').filter({ hasText: 'corrected' })).toBeVisible();
});

test('the clip of an event plays with its sound, beside its picture and spectrogram', async ({ page }) => {
  const kept = await until('an event that can be looked at', looked);
  await page.goto(`${daemon.url}/#/event/${kept.event_id}`);
  const details = panel(page, kept.label);
  const video = details.getByLabel(`Clip of ${kept.label}`);
  await expect(video).toBeVisible();
  const played = await video.evaluate(async (video: HTMLVideoElement) => {
    video.volume = 0.01;
    await video.play();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const decoded = video as unknown as { webkitAudioDecodedByteCount: number; webkitVideoDecodedByteCount: number };
    return { at: video.currentTime, width: video.videoWidth, length: video.duration, sound: decoded.webkitAudioDecodedByteCount, picture: decoded.webkitVideoDecodedByteCount };
  });
  expect(played.at).toBeGreaterThan(0.2);
  expect(played.width).toBe(640);
  expect(played.length).toBeGreaterThan(3);
  expect(played.sound).toBeGreaterThan(0);
  expect(played.picture).toBeGreaterThan(0);
  for (const name of [`Picture of ${kept.label}`, `Spectrogram of ${kept.label}`]) {
    const image = details.getByRole('img', { name });
    await expect(image).toBeVisible();
    expect(await image.evaluate((image: HTMLImageElement) => image.decode().then(() => image.naturalWidth))).toBeGreaterThan(200);
  }
  const saved = page.waitForEvent('download');
  await details.getByRole('link', { name: 'Save the clip' }).click();
  expect((await saved).suggestedFilename()).toBe(`${kept.event_id}.mp4`);
});

test('a clip is run again with the settings of now', async ({ page }) => {
  const kept = await until('an event that can be looked at', looked);
  await page.goto(`${daemon.url}/#/event/${kept.event_id}`);
  const details = panel(page, kept.label);
  await details.getByRole('button', { name: 'Run it again' }).click();
  await expect(details.getByText(/s of the clip: |Nothing that I know/).first()).toBeVisible({ timeout: 150_000 });
});

test('a clip that no browser plays is offered as a file', async ({ page }) => {
  const kept = await until('an event that can be looked at', looked);
  await page.route('**/clip.mp4', (route) => route.fulfill({ contentType: 'video/mp4', body: 'no film at all' }));
  await page.goto(`${daemon.url}/#/event/${kept.event_id}`);
  const details = panel(page, kept.label);
  await expect(details.getByText('This browser does not play H.264 and AAC')).toBeVisible();
  await expect(details.getByRole('link', { name: 'Save the clip' })).toBeVisible();
});

test('what is not there says why', async ({ page }) => {
  const kept = await until('an event that can be looked at', looked);
  // As long as a page may take to load, and to draw it a second time.
  const made = Date.now() + 4000;
  await page.route('**/v1/events/*/snapshot.jpg', (route) => {
    const body = JSON.stringify({ type: 'not-yet', status: 404, detail: 'it is not there yet', errors: [] });
    return Date.now() < made ? route.fulfill({ status: 404, contentType: 'application/problem+json', body }) : route.continue();
  });
  await page.goto(`${daemon.url}/#/event/${kept.event_id}`);
  const details = panel(page, kept.label);
  await expect(details.getByText('The picture is being made')).toBeVisible();
  await expect(details.getByRole('img', { name: `Picture of ${kept.label}` })).toBeVisible();
  daemon.deleteClips('scene');
  await page.reload();
  await expect(details.getByText(/There is no clip: .*deleted/)).toBeVisible();
  await expect(details.getByText(/There is no picture: .*deleted/)).toBeVisible();
});

test('an event is opened by a click, and an empty place says why', async ({ page }) => {
  await page.goto(daemon.url);
  await until('events', async () => (await held(page)) > 2);
  await page.getByRole('button', { name: 'Live' }).click();
  const { events } = await daemon.get<{ events: { start: { utc: string }; end: { utc: string }; label: string }[] }>('/v1/events');
  const event = events.find(({ start, end }) => Date.parse(end.utc) - Date.parse(start.utc) > 1500);
  const middle = new Date((Date.parse(event?.start.utc ?? '') + Date.parse(event?.end.utc ?? '')) / 2);
  await page.getByLabel('Go to').fill(new Date(middle.getTime() - middle.getTimezoneOffset() * 60_000).toISOString().slice(0, 19));
  for (let press = 0; press < 3; press++) await page.getByRole('button', { name: 'Zoom in' }).click();
  const box = await timeline(page).boundingBox();
  if (!box) throw new Error('there is no time line');
  const hint = page.locator('.hint');
  const spots = { event: null as [number, number] | null, gap: null as [number, number] | null };
  for (const y of [box.y + 8, box.y + 56, box.y + 38]) {
    for (let x = box.x + 4; x < box.x + box.width && !(spots.event && spots.gap); x += 7) {
      await page.mouse.move(x, y);
      const words = (await hint.textContent()) ?? '';
      if (words.includes('score')) spots.event ??= [x, y];
      else if (words.includes(': watched')) spots.gap ??= [x, y];
    }
  }
  if (!spots.event || !spots.gap) throw new Error(`nothing under the pointer: ${JSON.stringify(spots)}`);
  await page.mouse.move(...spots.event);
  const words = (await hint.textContent()) ?? '';
  await page.mouse.click(...spots.event);
  await expect(panel(page, words.split(',')[0] ?? '')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('complementary')).toHaveCount(0);
  // The time line is as wide again as it was.
  const [x, y] = spots.gap;
  await expect(async () => {
    await page.mouse.move(x + 1, y);
    await page.mouse.move(x, y);
    await expect(hint).toContainText(': watched', { timeout: 500 });
  }).toPass();
  await page.mouse.click(x, y);
  const why = panel(page, 'Why, or why not');
  await expect(why.getByText('This moment: watched')).toBeVisible();
  await expect(why.getByText('The model answered').first()).toBeVisible();
  await expect(why.getByText('Asked what happens').first()).toBeVisible();
  await expect(why.getByRole('columnheader', { name: 'Needed' }).first()).toBeVisible();
});

test('a stream is added after a look, edited, and removed', async ({ page }) => {
  await page.goto(daemon.url);
  await page.getByRole('link', { name: 'Add a stream' }).click();
  const form = panel(page, 'Add a stream');
  const uri = form.getByLabel('Address');
  await uri.fill('/etc/hostname');
  await form.getByRole('button', { name: 'Look' }).click();
  await expect(uri).toHaveAttribute('aria-invalid', 'true');
  await expect(form.getByText('not in a folder of control.allow.files')).toBeVisible();
  await uri.fill(SCENE);
  await form.getByRole('button', { name: 'Look' }).click();
  await expect(form.getByText(/It works: picture \(h264, .*\), sound \(aac, .*\), not live/)).toBeVisible();

  const id = form.getByLabel('Id');
  await id.fill('a b');
  for (const query of ['a violin', 'a violin']) {
    await form.getByRole('button', { name: 'Add query' }).click();
    await form.getByRole('textbox', { name: /^query/ }).last().fill(query);
  }
  await form.getByRole('button', { name: 'Add the stream' }).click();
  await expect(id).toBeFocused();
  await expect(form.getByText('no blanks and no')).toBeVisible();
  await expect(form.getByRole('textbox', { name: 'query 2' })).toHaveAttribute('aria-invalid', 'true');
  await expect(form.getByText('is asked twice')).toBeVisible();
  await form.getByRole('button', { name: 'Remove query 2' }).click();
  await id.fill('yard');
  await form.getByRole('button', { name: 'Add the stream' }).click();
  await expect(panel(page, 'yard').getByText('a violin')).toBeVisible();
  await expect(page.getByRole('region', { name: 'Stream yard' })).toBeVisible();

  await panel(page, 'yard').getByRole('link', { name: 'Edit' }).click();
  const edit = panel(page, 'Edit yard');
  const least = edit.getByLabel('Least score', { exact: true });
  await least.fill('2');
  await edit.getByRole('button', { name: 'Save' }).click();
  await expect(least).toHaveAttribute('aria-invalid', 'true');
  await expect(edit.getByText('must be from 0 to 1')).toBeVisible();
  await least.fill('0.7');
  await edit.getByRole('button', { name: 'Save' }).click();
  await expect(panel(page, 'yard').getByText('0.7', { exact: true })).toBeVisible();
  expect((await daemon.get<{ min_score: number }>('/v1/streams/yard')).min_score).toBe(0.7);

  await panel(page, 'yard').getByRole('button', { name: 'Disable' }).click();
  await expect(panel(page, 'yard').getByText('not enabled')).toBeVisible();
  expect((await daemon.get<{ enabled: boolean }>('/v1/streams/yard')).enabled).toBe(false);
  await panel(page, 'yard').getByRole('button', { name: 'Enable' }).click();
  await expect(panel(page, 'yard').getByRole('button', { name: 'Disable' })).toBeVisible();
  await panel(page, 'yard').getByRole('button', { name: 'Remove' }).click();
  await panel(page, 'yard').getByRole('button', { name: 'Remove yard' }).click();
  await expect(page.getByRole('region', { name: 'Stream yard' })).toHaveCount(0);
  expect((await daemon.call('GET', '/v1/streams/yard')).status).toBe(404);
});

test('what stands in the file says so', async ({ page }) => {
  await page.goto(`${daemon.url}/#/stream/scene`);
  await expect(panel(page, 'scene').getByText('It stands in the configuration file')).toBeVisible();
  await expect(panel(page, 'scene').getByRole('button', { name: 'Remove' })).toHaveCount(0);
});

test('a rule is added, tried, changed, and removed', async ({ page }) => {
  const { events } = await daemon.get<{ events: { label: string }[] }>('/v1/events');
  const label = events[0]?.label ?? '';
  await page.goto(`${daemon.url}/#/rules`);
  await expect(page.getByText('There is no rule yet.')).toBeVisible();
  await page.getByRole('link', { name: 'Add a rule' }).click();
  const form = panel(page, 'Add a rule');
  await form.getByLabel('Id').fill('tell-me');
  await form.getByRole('button', { name: 'Add the rule' }).click();
  await expect(form.getByLabel('Label', { exact: true })).toHaveAttribute('aria-invalid', 'true');
  await form.getByLabel('Label', { exact: true }).fill(label);
  await form.getByLabel('Then quiet for, s').fill('0');
  await form.getByRole('button', { name: 'Try it' }).click();
  await expect(form.getByText(/It would have fired (once|\d+ times) in \d+ windows/)).toBeVisible();
  await expect(form.getByRole('table', { name: 'When it would have fired' }).getByText(label).first()).toBeVisible();
  await form.getByRole('button', { name: 'Add the rule' }).click();
  await expect(page.getByRole('row').filter({ hasText: 'tell-me' })).toContainText('every stream');

  const edit = panel(page, 'Rule tell-me');
  await edit.getByLabel('of the last').fill('3');
  await edit.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('row').filter({ hasText: 'tell-me' })).toContainText('in 1 of 3 windows');
  await expect(page.getByRole('table', { name: 'Alerts' }).getByText(label).first()).toBeVisible({ timeout: 150_000 });
  await edit.getByRole('button', { name: 'Remove', exact: true }).click();
  await edit.getByRole('button', { name: 'Remove tell-me' }).click();
  await expect(page.getByText('There is no rule yet.')).toBeVisible();
  expect((await daemon.get<{ rules: unknown[] }>('/v1/rules')).rules).toEqual([]);
});

test('the model is asked', async ({ page }) => {
  await page.goto(`${daemon.url}/#/stream/scene`);
  const details = panel(page, 'scene');
  await details.getByLabel('What do you want to know?').fill('what happened?');
  await details.getByRole('button', { name: 'Ask' }).click();
  await expect(details.locator('.reply .words')).not.toBeEmpty({ timeout: 150_000 });
  await expect(details.getByText(/Looked at/)).toBeVisible();
  await details.getByLabel('What do you want to know?').fill('x'.repeat(600));
  await details.getByRole('button', { name: 'Ask' }).click();
  await expect(details.getByText('a question has 1 to 500 bytes of text')).toBeVisible();
});
