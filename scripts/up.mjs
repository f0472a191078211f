// `npm run up`: prepares the folder, then is `keyledger up`. The supervisor runs in this very process, so that signals
// reach it as they come.
import { Refusal, prepare, runScript } from './prepare.mjs';

await runScript(async () => {
  const help = process.argv.includes('--help') || process.argv.includes('-h');
  await prepare({ redis: !help && !process.env.REDIS_URL });
  process.argv.splice(2, 0, 'up');
  await import('../dist/apps/cli/src/main.js').catch((error) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Refusal(`the build is not whole (${error.message}); delete dist/ and try again`);
  });
});
