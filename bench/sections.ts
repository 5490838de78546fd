export interface Section {
  readonly title: string;
  readonly about: string;
  /** What measures it. */
  readonly command: string;
}

/** The sections of the page of figures, in their order; those that nobody has measured yet are left out. */
export const SECTIONS = {
  start: {
    title: 'Start',
    about:
      'Time until the first credential can be read, compared with the unavoidable minimum: the start of a Node.js that does nothing, and one run of the CLI. One credential is configured by variables, as in an injected pod, with in-memory volumes; one row shows a configuration file. The second table is the hard case: a CLI that costs almost nothing.',
    command: 'npm run bench -- start',
  },
  publish: {
    title: 'Publication',
    about: 'Time from the end of the CLI to the new file, including the fsync of file, record and directory.',
    command: 'npm run bench -- publish',
  },
  memory: {
    title: 'Memory',
    about:
      'Compared with a Node.js that does nothing. One credential is configured by variables, as in an injected pod; one row shows a configuration file. RSS counts pages of the executable that other processes also use, PSS counts each page in proportion, and private is the memory that would become free if the process ended.',
    command: 'npm run bench -- memory',
  },
  cpu: {
    title: 'Processor time',
    about: 'CPU time of a minute in which nothing is due, with one credential, configured by variables.',
    command: 'npm run bench -- cpu',
  },
  flood: {
    title: 'A flood',
    about:
      'A client that can reach the port sends junk: requests that are too long, too slow or not HTTP at all, and ten thousand requests a second that do not wait for a response. This is harder than in production: the client runs on the same machine as the sidecar, and the tokens here have a margin of two seconds, whereas tokens of an hour have minutes.',
    command: 'npm run bench -- flood',
  },
  fleet: {
    title: 'Many credentials in one process',
    about:
      'Without `--full`, everything runs ten times faster than in production: tokens, CLI and timeouts. Limits that are not options, such as the minimum of five seconds for an attempt, are not scaled.',
    command: 'npm run bench -- fleet',
  },
  simulation: {
    title: 'Ten thousand sidecars',
    about:
      "A simulation, which takes a minute of real time: the sidecar's own keeper and schedule, with the default configuration and tokens of an hour, compared with the documented behaviour of other tools. Tests enforce the aims.",
    command: 'npm run bench -- simulation',
  },
  'head-to-head': {
    title: 'Head to head with a cron',
    about:
      'The cron script that people use today, in two variants, compared with this sidecar: same workspace, same outages, same logins, with real processes and real connections.',
    command: 'npm run bench -- head-to-head',
  },
  helper: {
    title: 'Against a side-car in Go',
    about: 'The cost of a small and well-known helper that does not run on Node.js.',
    command: 'npm run bench -- helper',
  },
  admission: {
    title: 'Admission',
    about:
      'What the policies of the chart cost on a real API server with etcd, for a pod that asks for the sidecar and for other pods. An API server that is further away or busier takes longer for each of them.',
    command: 'npm run bench -- admission',
  },
} as const satisfies Record<string, Section>;

export type SectionName = keyof typeof SECTIONS;
