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
      'How long until the first credential can be read, against what cannot be avoided: the start of a Node.js that does nothing, and one run of the CLI. One credential by variables, as in a pod that the chart made, whose volumes are in memory; a configuration file has a row of its own. The second table is the hard case, a CLI that costs next to nothing.',
    command: 'npm run bench -- start',
  },
  publish: {
    title: 'Publication',
    about: 'From the end of the CLI to the new file, with the fsync of file, record and directory in between.',
    command: 'npm run bench -- publish',
  },
  memory: {
    title: 'Memory',
    about:
      'Against a Node.js that does nothing. One credential by variables, as in a pod that the chart made; a configuration file has a row of its own. RSS counts pages of the executable that other processes use too, PSS counts each in proportion, private is what would be free if the process ended.',
    command: 'npm run bench -- memory',
  },
  cpu: {
    title: 'Processor time',
    about: 'Of a minute in which nothing is due, with one credential by variables.',
    command: 'npm run bench -- cpu',
  },
  flood: {
    title: 'A flood',
    about:
      'Somebody who can reach the port sends junk: requests that are too long, too slow or no HTTP at all, and ten thousand a second that do not wait for an answer. Who floods shares the machine with the sidecar, which in a cluster it need not; tokens of an hour have minutes of margin where these have two seconds.',
    command: 'npm run bench -- flood',
  },
  fleet: {
    title: 'Many credentials in one process',
    about:
      'Without `--full` it runs ten times faster than production, tokens, CLI and time-outs alike; limits that are no options, such as the five seconds that an attempt gets at least, are not scaled.',
    command: 'npm run bench -- fleet',
  },
  simulation: {
    title: 'Ten thousand sidecars',
    about:
      "In simulated time, which takes a minute of real time: the sidecar's own keeper and schedule, with the defaults of its configuration and tokens of an hour, against what others document. Tests hold the aims.",
    command: 'npm run bench -- simulation',
  },
  'head-to-head': {
    title: 'Head to head with a cron',
    about:
      'The cron script that people use today, in two variants, against this: same workspace, same outages, same logins, all of them real processes and real connections.',
    command: 'npm run bench -- head-to-head',
  },
  helper: {
    title: 'Against a side-car in Go',
    about: 'What a small and well-known helper costs that is not written for Node.js.',
    command: 'npm run bench -- helper',
  },
  admission: {
    title: 'Admission',
    about:
      'What the policies of the chart cost at a real API server with its etcd, for a pod that asks for the sidecar and for all the others. A server that is further away, or has more to do, takes longer for each of them.',
    command: 'npm run bench -- admission',
  },
} as const satisfies Record<string, Section>;

export type SectionName = keyof typeof SECTIONS;
