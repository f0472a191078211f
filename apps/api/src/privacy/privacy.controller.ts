import { Body, Controller, Get, HttpCode, Param, Post, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { EraseSubjectRequest, FindSubjectRequest, SubjectView } from '@keyledger/contracts/http';
import type { FastifyReply } from 'fastify';
import { received } from '../http/answers.js';
import { CurrentIntent, type Intent } from '../http/intent.js';
import { Needs } from '../http/needs.js';
import { plain } from '../http/plain.js';
import { EraseSubject } from './erase-subject.handler.js';
import { Subjects } from './subjects.js';

@Controller('v1/privacy/subjects')
export class PrivacyController {
  constructor(
    private readonly commands: CommandBus,
    private readonly subjects: Subjects,
  ) {}

  /** Find the subject whose personal data is kept: an owner's contact, a person, a key's holder or an address. */
  @Post('find')
  @HttpCode(200)
  @Needs('privacy:read', { refusals: [404] })
  async find(@Body() request: FindSubjectRequest): Promise<SubjectView> {
    return this.subjects.find(plain(request));
  }

  /** Say what is kept about a subject, and what was erased. */
  @Get(':subjectId')
  @Needs('privacy:read', { refusals: [404] })
  async show(@Param('subjectId') subjectId: string): Promise<SubjectView> {
    return this.subjects.show(subjectId);
  }

  /** Destroy the key of a subject's personal data, for good. Events and their proofs stay as they are. */
  @Post(':subjectId/erase')
  @HttpCode(200)
  @Needs('privacy:erase', { repeatable: true, refusals: [404, 409] })
  async erase(
    @Param('subjectId') subjectId: string,
    @Body() request: EraseSubjectRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SubjectView> {
    return received(reply, await this.commands.execute(new EraseSubject(subjectId, plain(request), intent)));
  }
}
