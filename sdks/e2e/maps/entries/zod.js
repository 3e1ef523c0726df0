import { z } from "zod";

globalThis.schema = z.object({ name: z.string().min(1), price: z.number().positive() });
