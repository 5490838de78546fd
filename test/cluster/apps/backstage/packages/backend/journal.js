import { coreServices, createBackendPlugin } from '@backstage/backend-plugin-api';

const PAUSE_MS = 200;

/** Writes a row again and again, through the database that Backstage gives to every plugin. */
// oxlint-disable-next-line import/no-default-export -- what Backstage loads
export default createBackendPlugin({
  pluginId: 'journal',
  register(env) {
    env.registerInit({
      deps: { database: coreServices.database, lifecycle: coreServices.lifecycle, logger: coreServices.logger },
      async init({ database, lifecycle, logger }) {
        const client = await database.getClient();
        if (!(await client.schema.hasTable('rows'))) {
          await client.schema.createTable('rows', (table) => {
            table.increments('id');
            table.integer('backend');
          });
        }
        const write = async () => {
          await client('rows').insert({ backend: client.raw('pg_backend_pid()') });
        };
        await write();
        logger.info('first row written');
        const timer = setInterval(() => {
          write().catch((error) => logger.error(`row not written: ${error.message}`));
        }, PAUSE_MS);
        lifecycle.addShutdownHook(async () => {
          clearInterval(timer);
          await write();
          logger.info('last row written');
        });
      },
    });
  },
});
