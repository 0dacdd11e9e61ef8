// Conversations of the last days for pictures, so that the sidebar is not empty.

const older = [
  ["How do I keep basil alive in winter?", 0.05],
  ["Difference between TCP and UDP", 0.1],
  ["A birthday rhyme for Ada", 1.2],
  ["Packing list for three days in Lisbon", 3],
  ["Regex that finds ISO dates", 5],
  ["What makes bread rise?", 12],
];

export async function fillHistory(page) {
  await page.evaluate((list) => new Promise((resolve, reject) => {
    const request = indexedDB.open("hearth");
    request.onerror = reject;
    request.onsuccess = () => {
      const change = request.result.transaction("conversations", "readwrite");
      for (const [title, days] of list) {
        const time = Date.now() - days * 86_400_000;
        const id = Math.round(time).toString(16).padStart(16, "0");
        change.objectStore("conversations").put({ id, title, created: time, updated: time, system: null, selected: {} });
      }
      change.oncomplete = () => resolve(request.result.close());
    };
  }), older);
  await page.reload();
}
