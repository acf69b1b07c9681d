/**
 * The results of `work`, which is done for one item after another. With Promise.all the error would be that of whichever item
 * fails first: with this, the same input always has the same error.
 */
export async function oneByOne<Item, Result>(
  items: Iterable<Item>,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  for (const item of items) results.push(await work(item))
  return results
}
