// Builds the page into web/dist: index.html, theme.js, favicon.svg, and assets/ with a hash of the content in each name, so that
// the server may let browsers keep those for ever and has to revalidate only the rest.
import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

const policy = readFileSync(new URL("content-security-policy.txt", import.meta.url), "utf8").trim();

// The server sends the policy as a header. The page carries it too, so that it holds whoever serves the files; a <meta>
// cannot say frame-ancestors.
const policyMeta = {
  name: "hearth-policy-meta",
  apply: "build",
  transformIndexHtml: (html) => ({
    html,
    tags: [
      {
        tag: "meta",
        attrs: {
          "http-equiv": "Content-Security-Policy",
          content: policy.split("; ").filter((part) => !part.startsWith("frame-ancestors")).join("; "),
        },
        injectTo: "head-prepend",
      },
    ],
  }),
};

const server = process.env.HEARTH_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [policyMeta],
  build: {
    target: "es2022",
    // The colours use light-dark().
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/app-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: (asset) => (asset.names.some((name) => name.endsWith(".css")) ? "assets/app-[hash].css" : "assets/[name]-[hash][extname]"),
      },
    },
  },
  server: { proxy: Object.fromEntries(["/v1", "/health"].map((path) => [path, server])) },
  // A machine that is busy with other things must not fail a test.
  test: { testTimeout: 60_000, environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"] },
});
