import AxeBuilder from '@axe-core/playwright';
import { expect, type Locator, type Page } from '@playwright/test';

export const timeline = (page: Page, stream = 'scene'): Locator => page.getByRole('application', { name: `Time line of ${stream}` });

export const panel = (page: Page, name: string | RegExp): Locator => page.getByRole('complementary', { name });

/** How many events the time line holds. */
export async function held(page: Page, stream = 'scene'): Promise<number> {
  const label = await timeline(page, stream).getAttribute('aria-label');
  return Number(label?.match(/, (\d+) events (?:fetched|counted)$/)?.[1] ?? -1);
}

/** Whatever the rules of WCAG 2.2 A and AA, and axe's own good advice, find wrong: nothing. */
export async function clean(page: Page, what: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('\n  ')}`);
  expect(told, what).toEqual([]);
}

/** Fails the test on errors of the page, on blocked content, and on any request to another place. */
export function watch(page: Page, url: string): string[] {
  const troubles: string[] = [];
  page.on('pageerror', (error) => troubles.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // A refused call is told by the browser too; the tests look at what the page makes of it.
    const refused = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !refused) troubles.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const own = request.url().startsWith(url) || request.url().startsWith('blob:');
    if (!own) troubles.push(`request: ${request.url()}`);
  });
  page.on('dialog', (dialog) => {
    troubles.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return troubles;
}
