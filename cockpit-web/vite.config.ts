import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Where `npm run dev` finds a controller.
const controller = process.env.AEGIS_SERVER ?? "http://127.0.0.1:8001";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  build: {
    target: "es2023",
    // An inlined file would be a data: URL, which the content security policy refuses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    port: 3000,
    proxy: {
      "/api": { target: controller, rewrite: (path) => path.replace(/^\/api/, "") },
      "/ws": { target: controller, ws: true },
    },
  },
  test: {
    environment: "node",
    setupFiles: ["./test/setup.ts"],
    include: ["src/**/*.test.{ts,tsx}", "test/**/*.test.ts"],
    css: false,
    // A busy machine loads a page of components slowly; a test that hangs is still reported.
    testTimeout: 30_000,
  },
});
